// The official client for JavaScript: every call, at once and in pieces.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { Stage } from './stage.mjs';

const TEXT = 'আমি ক্ষমা চাই। 👨‍👩‍👧‍👦 "\\\n ok';
const WORDS = 'one two three four five six seven eight';
const Weather = z.object({ place: z.string(), degrees: z.number() });

const stage = new Stage();
let server, amina, bela;

const client = (of, key = 0, more = {}) =>
    new OpenAI({ baseURL: of.base_url, apiKey: of.keys[key], timeout: 60_000, ...more });
const user = (content) => [{ role: 'user', content }];
const say = (role, content) => ({ type: 'message', role, content });
const texts = (items) => items.map((item) => [item.role, item.content[0].text]);

async function all(pages) {
    const items = [];
    for await (const item of pages) items.push(item);
    return items;
}

const fails = (call, kind, more = {}) =>
    assert.rejects(call, (error) => {
        assert.ok(error instanceof kind, `${error}`);
        for (const [name, value] of Object.entries(more)) assert.equal(error[name], value);
        return true;
    });

/** These are all events of a response that said `text`, each once and in order. */
function whole(events, text) {
    assert.deepEqual(
        events.map((event) => event.sequence_number),
        events.map((_, n) => n),
    );
    const types = events.map((event) => event.type).filter((type) => type !== 'response.output_text.delta');
    assert.deepEqual(types, [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
    ]);
    assert.equal(
        events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join(''),
        text,
    );
    return events.at(-1).response;
}

before(async () => {
    server = await stage.server();
    amina = client(server);
    bela = client(server, 1);
});
after(() => stage.close());

describe('models', () => {
    test('are listed and found', async () => {
        const [model] = await all(amina.models.list());
        assert.equal(model.object, 'model');
        assert.deepEqual(await amina.models.retrieve(model.id), model);
        await fails(amina.models.retrieve('gpt-nothing'), OpenAI.NotFoundError, { code: 'model_not_found' });
    });
});

describe('errors', () => {
    test('have their classes', async () => {
        const nobody = new OpenAI({ baseURL: server.base_url, apiKey: 'sk-wrong' });
        await fails(nobody.models.list(), OpenAI.AuthenticationError, { code: 'invalid_api_key' });
        await fails(amina.chat.completions.create({ model: 'm', messages: [] }), OpenAI.BadRequestError, {
            param: 'messages',
        });
        await fails(amina.embeddings.create({ model: 'm', input: 'hi' }), OpenAI.NotFoundError);
    });

    test('of the rate say how long to wait', async () => {
        const limited = client(await stage.server(['limits.free.messages_per_minute=1']), 0, { maxRetries: 0 });
        const ask = () => limited.chat.completions.create({ model: 'm', messages: user('hi') });
        await ask();
        await assert.rejects(ask(), (error) => {
            assert.ok(error instanceof OpenAI.RateLimitError);
            assert.ok(Number(error.headers.get('retry-after')) > 0);
            return true;
        });
    });
});

describe('completions', () => {
    test('come at once', async () => {
        const made = await amina.chat.completions.create({ model: 'gpt-whatever', messages: user(`[[say]] ${TEXT}`) });
        assert.equal(made.choices[0].message.content, TEXT);
        assert.equal(made.choices[0].finish_reason, 'stop');
        assert.ok(made.usage.total_tokens > 0 && made._request_id);
    });

    test('come in pieces', async () => {
        const stream = await amina.chat.completions.create({
            model: 'm',
            messages: user(`[[tokens 5 1]] ${TEXT}`),
            stream: true,
            stream_options: { include_usage: true },
        });
        const chunks = await all(stream);
        assert.ok(chunks.pop().usage.total_tokens > 0);
        assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), TEXT);
    });

    test('are put together by the helper', async () => {
        const runner = amina.chat.completions.stream({ model: 'm', messages: user(`[[tokens 5 1]] ${TEXT}`) });
        let text = '';
        runner.on('content', (piece) => (text += piece));
        assert.equal(await runner.finalContent(), TEXT);
        assert.equal(text, TEXT);
    });

    test('stop the model where the client goes', async () => {
        const gate = stage.gate();
        await gate.step();
        const stream = await amina.chat.completions.create({
            model: 'm',
            messages: user(gate.held(WORDS)),
            stream: true,
        });
        for await (const chunk of stream) if (chunk.choices[0].delta.content) break; // Leaving the loop closes it.
        await stage.gone();
    });

    test('fill forms', async () => {
        const made = await amina.chat.completions.parse({
            model: 'm',
            messages: user('[[say]] {"place": "Sylhet", "degrees": 31}'),
            response_format: zodResponseFormat(Weather, 'weather'),
        });
        assert.deepEqual(made.choices[0].message.parsed, { place: 'Sylhet', degrees: 31 });
    });

    test('are stored, listed, changed and deleted', async () => {
        const made = await amina.chat.completions.create({
            model: 'm',
            messages: user('keep this'),
            store: true,
            metadata: { topic: 'one' },
        });
        const found = await amina.chat.completions.retrieve(made.id);
        assert.deepEqual(found.choices, made.choices);
        assert.deepEqual((await amina.chat.completions.update(made.id, { metadata: { topic: 'two' } })).metadata, {
            topic: 'two',
        });
        assert.ok((await all(amina.chat.completions.list({ limit: 1 }))).some(({ id }) => id === made.id));
        const messages = await all(amina.chat.completions.messages.list(made.id));
        assert.deepEqual(
            messages.map(({ role, content }) => [role, content]),
            [['user', 'keep this']],
        );
        await fails(bela.chat.completions.retrieve(made.id), OpenAI.NotFoundError);
        assert.equal((await amina.chat.completions.delete(made.id)).deleted, true);
        await fails(amina.chat.completions.retrieve(made.id), OpenAI.NotFoundError);
    });
});

describe('conversations', () => {
    test('are made, found, changed and deleted', async () => {
        const made = await amina.conversations.create({ metadata: { topic: 'rain' } });
        assert.equal(made.object, 'conversation');
        assert.deepEqual(await amina.conversations.retrieve(made.id), made);
        const changed = await amina.conversations.update(made.id, { metadata: { topic: 'sun' } });
        assert.deepEqual(changed.metadata, { topic: 'sun' });
        await fails(bela.conversations.retrieve(made.id), OpenAI.NotFoundError);
        assert.equal((await amina.conversations.delete(made.id)).deleted, true);
        await fails(amina.conversations.retrieve(made.id), OpenAI.NotFoundError);
    });

    test('hold items', async () => {
        const { id } = await amina.conversations.create({ items: [say('system', 'be kind'), say('user', '0')] });
        await amina.conversations.items.create(id, { items: [1, 2, 3, 4].map((n) => say('user', `${n}`)) });
        const items = await all(amina.conversations.items.list(id, { limit: 2, order: 'asc' }));
        assert.deepEqual(
            texts(items).map(([, text]) => text),
            ['be kind', '0', '1', '2', '3', '4'],
        );
        const place = { conversation_id: id };
        assert.deepEqual(await amina.conversations.items.retrieve(items[3].id, place), items[3]);
        assert.equal((await amina.conversations.items.delete(items[3].id, place)).id, id);
        await fails(amina.conversations.items.retrieve(items[3].id, place), OpenAI.NotFoundError);
        assert.equal((await all(amina.conversations.items.list(id))).length, 5);
    });
});

describe('responses', () => {
    test('remember a conversation', async () => {
        const { id } = await amina.conversations.create();
        await amina.responses.create({ input: 'I am Amina', conversation: id });
        const made = await amina.responses.create({ input: 'who am I?', conversation: id });
        assert.equal(made.output_text, 'echo: who am I?');
        const said = [
            ['user', 'I am Amina'],
            ['assistant', 'echo: I am Amina'],
            ['user', 'who am I?'],
        ];
        assert.deepEqual(await stage.spoken(), said);
        const items = await all(amina.conversations.items.list(id, { order: 'asc' }));
        assert.deepEqual(texts(items), [...said, ['assistant', 'echo: who am I?']]);
    });

    test('remember the response before', async () => {
        const one = await amina.responses.create({ input: 'one' });
        const two = await amina.responses.create({ input: 'two', previous_response_id: one.id });
        assert.equal(two.previous_response_id, one.id);
        assert.deepEqual(
            (await stage.spoken()).map(([, text]) => text),
            ['one', 'echo: one', 'two'],
        );
    });

    test('are found, listed with their input, and deleted', async () => {
        const made = await amina.responses.create({ input: [say('developer', 'be brief'), say('user', 'hi')] });
        const { output_text: text, ...found } = await amina.responses.retrieve(made.id);
        assert.equal(text, 'echo: hi');
        assert.deepEqual(found.output, made.output);
        const inputs = await all(amina.responses.inputItems.list(made.id, { limit: 1, order: 'asc' }));
        assert.deepEqual(texts(inputs), [
            ['developer', 'be brief'],
            ['user', 'hi'],
        ]);
        await fails(bela.responses.retrieve(made.id), OpenAI.NotFoundError);
        await amina.responses.delete(made.id);
        await fails(amina.responses.retrieve(made.id), OpenAI.NotFoundError);
    });

    test('need not be stored', async () => {
        const made = await amina.responses.create({ input: 'hi', store: false });
        assert.equal(made.output_text, 'echo: hi');
        await fails(amina.responses.retrieve(made.id), OpenAI.NotFoundError);
    });

    test('fill forms', async () => {
        const made = await amina.responses.parse({
            model: 'm',
            input: '[[say]] {"place": "Sylhet", "degrees": 31}',
            text: { format: zodTextFormat(Weather, 'weather') },
        });
        assert.deepEqual(made.output_parsed, { place: 'Sylhet', degrees: 31 });
    });

    test('run in the background and are cancelled', async () => {
        const gate = stage.gate();
        const begun = await amina.responses.create({ input: gate.held(WORDS), background: true });
        assert.ok(['queued', 'in_progress'].includes(begun.status));
        assert.equal((await amina.responses.cancel(begun.id)).status, 'cancelled');
        await stage.gone();
        assert.equal((await amina.responses.retrieve(begun.id)).status, 'cancelled');
    });

    test('come in pieces', async () => {
        const events = await all(await amina.responses.create({ input: `[[tokens 6 30]] ${TEXT}`, stream: true }));
        const ended = whole(events, TEXT);
        const again = await amina.responses.retrieve(ended.id, { stream: true, starting_after: 4 });
        assert.deepEqual(await all(again), events.slice(5));
    });

    test('are put together by the helper, and gone on with', async () => {
        const runner = amina.responses.stream({ model: 'm', input: `[[tokens 6 30]] ${TEXT}` });
        let text = '';
        runner.on('response.output_text.delta', ({ delta }) => (text += delta));
        const final = await runner.finalResponse();
        assert.equal(text, TEXT);
        assert.equal(final.output_text, TEXT);
        const again = amina.responses.stream({ response_id: final.id });
        assert.equal((await again.finalResponse()).output_text, TEXT);
    });

    test('are refused by name where they want too much', async () => {
        const tools = [{ type: 'web_search' }];
        await fails(amina.responses.create({ input: 'hi', tools }), OpenAI.BadRequestError, {
            param: 'tools',
            code: 'unsupported_parameter',
        });
    });

    test('are the same for the same key', async () => {
        const options = { headers: { 'Idempotency-Key': 'from-javascript' } };
        const one = await amina.responses.create({ input: 'hi' }, options);
        assert.equal((await amina.responses.create({ input: 'hi' }, options)).id, one.id);
        await fails(amina.responses.create({ input: 'ho' }, options), OpenAI.UnprocessableEntityError);
    });

    test('are said once by a client that tries again', async () => {
        const { id } = await amina.conversations.create();
        let lost = 1;
        const unlucky = client(server, 0, {
            async fetch(...what) {
                const answer = await fetch(...what);
                if (lost-- <= 0) return answer;
                await answer.text();
                throw new TypeError('fetch failed');
            },
        });
        await unlucky.responses.create({ input: 'hi', conversation: id });
        assert.equal(lost, -1);
        assert.equal((await all(amina.conversations.items.list(id))).length, 2);
    });

    test('go on after a kill with every event once', async () => {
        const server = await stage.server();
        const gate = stage.gate();
        const events = [];
        const read = async (stream, text) => {
            let said = events.map((event) => event.delta ?? '').join('');
            for await (const event of stream) {
                events.push(event);
                said += event.delta ?? '';
                if (said.trim() === text) return;
            }
        };
        await gate.step();
        await gate.step();
        await gate.step();
        const iterate = (stream) => ({ [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) }); // May be left.
        const stream = (await client(server).responses.create({ input: gate.held(WORDS), stream: true }))[
            Symbol.asyncIterator
        ]();
        await read(iterate(stream), 'one two three');
        await stage.kill(server);
        let step;
        const readOn = async () => {
            while (!(step = await stream.next()).done) events.push(step.value);
        };
        await assert.rejects(readOn());
        await gate.release();
        const rest = await client(server).responses.retrieve(events[0].response.id, {
            stream: true,
            starting_after: events.at(-1).sequence_number,
        });
        const shown = events.map((event) => (event.type.endsWith('text.delta') ? event.delta : '')).join('');
        assert.equal(shown.trim(), 'one two three');
        events.push(...(await all(rest)));
        const { content } = (await stage.seen()).at(-1).messages.at(-1); // The model was asked to go on.
        whole(events, `${shown}echo: ${content}`);
    });
});

describe('a reply of which a filter left nothing', () => {
    for (const store of [false, true]) {
        test(`is no failure, stored: ${store}`, async () => {
            const asked = { model: 'm', messages: user('[[filter]]'), store };
            const [choice] = (await amina.chat.completions.create(asked)).choices;
            assert.deepEqual([choice.message.content, choice.finish_reason], ['', 'content_filter']);
            const final = await amina.chat.completions.stream(asked).finalChatCompletion();
            assert.equal(final.choices[0].finish_reason, 'content_filter');
            const made = await amina.responses.create({ input: '[[filter]]', store });
            assert.deepEqual([made.status, made.output_text], ['incomplete', '']);
            assert.equal(made.incomplete_details.reason, 'content_filter');
            const events = await all(await amina.responses.create({ input: '[[filter]]', store, stream: true }));
            assert.equal(events.at(-1).type, 'response.incomplete');
        });
    }
});
