// The AI SDK, which is told a base URL and a key and nothing else.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';
import OpenAI from 'openai';
import { Stage } from './stage.mjs';

const stage = new Stage();
let server, openai;

const SAID = [
    ['user', 'I am Amina'],
    ['assistant', 'echo: I am Amina'],
    ['user', 'who am I?'],
];

before(async () => {
    server = await stage.server();
    openai = createOpenAI({ baseURL: server.base_url, apiKey: server.keys[0] });
});
after(() => stage.close());

/** Says both, with a history that the program keeps. */
async function talk(model, answer) {
    const messages = [];
    for (const content of ['I am Amina', 'who am I?']) {
        messages.push({ role: 'user', content });
        const { text, response } = await answer({ model, messages });
        assert.equal(text, `echo: ${content}`);
        messages.push(...response.messages);
    }
    assert.deepEqual(await stage.spoken(), SAID);
}

const atOnce = (asked) => generateText(asked);

async function inPieces(asked) {
    const result = streamText({ ...asked, onError: ({ error }) => assert.fail(`${error}`) });
    let text = '';
    for await (const piece of result.textStream) text += piece;
    return { text, response: await result.response };
}

for (const [how, answer] of [
    ['at once', atOnce],
    ['in pieces', inPieces],
]) {
    test(`completions remember what the program sends again, ${how}`, () => talk(openai.chat('gpt-4o-mini'), answer));
    // It names what was stored by its id, unless it is told otherwise.
    test(`responses remember what the program names again, ${how}`, () => talk(openai('gpt-4o-mini'), answer));
    test(`responses remember what the program sends again, ${how}`, () =>
        talk(openai('gpt-4o-mini'), (asked) => answer({ ...asked, providerOptions: { openai: { store: false } } })));
}

test('responses remember the one before', async () => {
    const model = openai('gpt-4o-mini');
    const first = await generateText({ model, prompt: 'I am Amina' });
    const previousResponseId = first.providerMetadata.openai.responseId;
    const second = await generateText({
        model,
        prompt: 'who am I?',
        providerOptions: { openai: { previousResponseId } },
    });
    assert.equal(second.text, 'echo: who am I?');
    assert.ok(second.usage.totalTokens > 0);
    assert.deepEqual(await stage.spoken(), SAID);
});

test('responses remember a conversation', async () => {
    const client = new OpenAI({ baseURL: server.base_url, apiKey: server.keys[0] });
    const { id: conversation } = await client.conversations.create();
    for (const prompt of ['I am Amina', 'who am I?']) {
        const { text } = await inPieces({
            model: openai('gpt-4o-mini'),
            prompt,
            providerOptions: { openai: { conversation } },
        });
        assert.equal(text, `echo: ${prompt}`);
    }
    assert.deepEqual(await stage.spoken(), SAID);
    assert.equal((await client.conversations.items.list(conversation)).data.length, 4);
});
