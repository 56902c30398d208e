// One call: what it takes, what it answers, a line for curl, and a try.

import { copyText } from './clipboard.js';
import { worded } from './docs-schema.js';
import { Try } from './docs-try.js';
import { element } from './element.js';

/** Who may call, by what the description asks for. */
function whoMay(security) {
    if (security.length === 0) return 'Anyone.';
    if (security.every((one) => Object.keys(one).join() === 'bearer'))
        return 'Who shows a token or an API key; a cookie is not taken.';
    const isForAdmins = security.some((one) => Object.values(one).flat().includes('admin'));
    if (!isForAdmins) return 'Who shows a token, or has the cookie.';
    const isOpenHere = security.some((one) => Object.keys(one).length === 0);
    return isOpenHere ? 'Anyone on the machine of the server; administrators from elsewhere.' : 'Administrators.';
}

/** Text in single quotes, for a shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export class Call {
    #description;
    #item;
    #token;

    /**
     * @param {import('./docs-schema.js').Description} description
     * @param {string} path As the description has it.
     * @param {string} method In lower case.
     * @param {() => string} token What is written into the field for it.
     */
    constructor(description, path, method, token) {
        this.#description = description;
        this.#item = description.document.paths[path];
        this.#token = token;
        this.operation = this.#item[method];
        this.path = path;
        this.method = method.toUpperCase();
        this.area = this.operation.tags[0];
        this.node = element(
            'details',
            { id: this.operation.operationId, class: 'call' },
            element(
                'summary',
                {},
                element('span', { class: `method ${method}` }, this.method),
                ' ',
                element('code', {}, path),
                ' ',
                element('span', { class: 'what' }, this.operation.summary),
            ),
        );
        // What nobody opens is never made.
        this.node.addEventListener('toggle', () => this.#fill(), { once: true });
    }

    /** Whether it has all of these words, in lower case. */
    has(words) {
        const { operationId, summary, description = '', responses } = this.operation;
        const statuses = Object.keys(responses).join(' ');
        const text = `${this.method} ${this.path} ${this.area} ${operationId} ${summary} ${description} ${statuses}`;
        return words.every((word) => text.toLowerCase().includes(word));
    }

    /** Its parameters, those of its path included; `X-Bondhu-User` is for pages only. */
    get parameters() {
        const all = [...(this.#item.parameters ?? []), ...(this.operation.parameters ?? [])];
        return all.map((one) => this.#description.at(one)).filter(({ name }) => name !== 'X-Bondhu-User');
    }

    /** An example of its body as JSON; nothing where it takes none. */
    get body() {
        const media = this.operation.requestBody?.content['application/json'];
        return media ? JSON.stringify(media.example ?? this.#description.example(media.schema), null, 2) : null;
    }

    /** Whether somebody must show who they are. */
    get needsIdentity() {
        const security = this.operation.security ?? this.#description.document.security;
        return security.length > 0 && security.every((one) => Object.keys(one).length > 0);
    }

    #fill() {
        const { description, security } = this.operation;
        const inner = [
            description ? element('p', {}, worded(description)) : null,
            element(
                'p',
                { class: 'who-may' },
                element('strong', {}, 'Who may: '),
                whoMay(security ?? this.#description.document.security),
            ),
            this.#parameters(),
            this.#taken(),
            this.#answers(),
            this.#refusals(),
            this.#curl(),
            new Try(this, this.#token).node,
        ];
        this.node.append(element('div', { class: 'inner' }, inner));
    }

    #parameters() {
        if (this.parameters.length === 0) return null;
        const fields = this.parameters.map(({ name, in: place, required, schema, description }) =>
            this.#description.field(`${name} (${place})`, schema, { mark: required && 'required', about: description }),
        );
        return [element('h3', {}, 'Parameters'), element('ul', { class: 'fields' }, fields)];
    }

    #taken() {
        const media = this.operation.requestBody?.content['application/json'];
        if (!media) return null;
        const title = this.operation.requestBody.required ? 'Body' : 'Body (may be left out)';
        return [
            element('h3', {}, title),
            this.#description.fields(media.schema),
            code(this.body, 'Example of the body'),
        ];
    }

    #answers() {
        const answers = Object.entries(this.operation.responses).filter(([status]) => status < '400');
        return [element('h3', {}, 'Answers'), answers.map(([status, response]) => this.#answer(status, response))];
    }

    #answer(status, value) {
        const response = this.#description.at(value);
        const media = Object.entries(response.content ?? {});
        const headers = Object.keys(response.headers ?? {}).filter((name) => name !== 'X-Request-Id');
        const kinds = media.map(([kind]) => kind).join(', ');
        const [, json] = media.find(([kind]) => kind === 'application/json') ?? [];
        const events = this.#description.events(media.find(([kind]) => kind === 'text/event-stream')?.[1].schema);
        const fields = json?.schema ? this.#description.fields(json.schema, true) : null;
        return element(
            'div',
            { class: 'answer' },
            element(
                'p',
                {},
                element('strong', {}, status),
                ' ',
                worded(response.description),
                kinds ? element('span', { class: 'type' }, ` ${kinds}`) : null,
                headers.length > 0 ? element('span', { class: 'type' }, ` with ${headers.join(', ')}`) : null,
            ),
            fields,
            fields ? code(JSON.stringify(this.#description.example(json.schema), null, 2), `Example, ${status}`) : null,
            response['x-lines'] ? this.#description.fields(response['x-lines'], true) : null,
            events.length > 0
                ? element(
                      'ul',
                      { class: 'fields' },
                      events.map(([name, schema]) => this.#description.field(name, schema, { isAnswer: true })),
                  )
                : null,
        );
    }

    #refusals() {
        const refusals = Object.entries(this.operation.responses).filter(([status]) => status >= '400');
        if (refusals.length === 0) return null;
        const rows = refusals.map(([status, response]) =>
            element(
                'li',
                {},
                element('strong', {}, status),
                ' ',
                element('span', { class: 'type' }, this.#description.problems(response).join(', ')),
                element('p', {}, worded(this.#description.at(response).description)),
            ),
        );
        return [element('h3', {}, 'Refusals'), element('ul', { class: 'fields refusals' }, rows)];
    }

    #curl() {
        return [element('h3', {}, 'With curl'), code(this.curl(), 'A line for curl')];
    }

    /** A line for a shell, with examples for all that must be given. */
    curl() {
        const asked = this.parameters.filter(({ required }) => required);
        const examples = new Map(asked.map(({ name, schema }) => [name, `${this.#description.example(schema)}`]));
        const query = asked.filter(({ in: place }) => place === 'query').map(({ name }) => [name, examples.get(name)]);
        const path = this.path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(examples.get(name)));
        const search = query.length > 0 ? `?${new URLSearchParams(query)}` : '';
        const streams = Object.values(this.operation.responses).some((one) => one.content?.['text/event-stream']);
        const parts = [
            `curl${streams ? ' -N' : ''}${this.method === 'GET' ? '' : ` -X ${this.method}`} ${quoted(location.origin + path + search)}`,
            this.needsIdentity ? '-H "Authorization: Bearer $TOKEN"' : null,
            this.body === null ? null : "-H 'Content-Type: application/json'",
            this.body === null ? null : `-d ${quoted(JSON.stringify(JSON.parse(this.body)))}`,
        ];
        return parts.filter(Boolean).join(' \\\n  ');
    }
}

/** Lines that can be scrolled by keyboard too, and copied. */
function code(text, label) {
    const copied = element('span', { class: 'hint', role: 'status' });
    const copy = async () => {
        copied.textContent = (await copyText(text)) ? 'Copied.' : 'The browser did not copy it; please select it.';
    };
    return element(
        'div',
        { class: 'code' },
        element('pre', { tabindex: '0', role: 'group', 'aria-label': label }, element('code', {}, text)),
        element('button', { type: 'button', class: 'small', 'aria-label': `Copy: ${label}`, onclick: copy }, 'Copy'),
        copied,
    );
}
