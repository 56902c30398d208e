// A try of a call, from this page: with the token of the page's field, and never with a cookie, so that nobody tries in an
// account that they did not name.

import { element } from './element.js';

/** A stream is read for so long, milliseconds, and any answer up to so many characters. */
const PATIENCE_MS = 5000;
const CHARS_MAX = 50000;

export class Try {
    #call;
    #token;
    #inputs = new Map();
    #body;
    #answer = element('pre', { tabindex: '0', role: 'group', 'aria-label': 'What came back', hidden: true });
    #status = element('p', { role: 'status' });
    #send = element('button', { type: 'submit', class: 'primary' }, 'Send');

    /**
     * @param {import('./docs-call.js').Call} call
     * @param {() => string} token
     */
    constructor(call, token) {
        this.#call = call;
        this.#token = token;
        const id = call.operation.operationId;
        const fields = call.parameters.map((parameter) => this.#field(id, parameter));
        if (call.body !== null) {
            this.#body = element('textarea', { id: `${id}-body`, rows: 6, spellcheck: 'false' }, call.body);
            fields.push(labelled('Body', this.#body));
        }
        const form = element(
            'form',
            { onsubmit: (event) => this.#submit(event) },
            fields,
            element('p', {}, this.#send),
        );
        this.node = element(
            'details',
            { class: 'try' },
            element('summary', {}, 'Try it'),
            form,
            this.#status,
            this.#answer,
        );
    }

    #field(id, parameter) {
        const input = element('input', { id: `${id}-${parameter.name}`, autocomplete: 'off', spellcheck: 'false' });
        input.required = parameter.required === true;
        this.#inputs.set(parameter, input);
        const keys = hasKeys(parameter) ? ', as key=value' : '';
        return labelled(`${parameter.name} (${parameter.in}${keys})`, input);
    }

    async #submit(event) {
        event.preventDefault();
        this.#send.disabled = true;
        this.#status.textContent = 'Asking…';
        const begun = performance.now();
        try {
            const response = await fetch(this.#address(), this.#options());
            const text = await beginning(response);
            const took = Math.round(performance.now() - begun);
            this.#status.textContent = `${response.status} ${response.statusText}, ${took} ms`;
            this.#show(text);
        } catch (error) {
            this.#status.textContent = `No answer: ${error.message}`;
            this.#show('');
        }
        this.#send.disabled = false;
    }

    #address() {
        const given = (place) =>
            [...this.#inputs].filter(([{ in: where }, { value }]) => where === place && value !== '');
        const byName = new Map(given('path').map(([{ name }, { value }]) => [name, value]));
        const path = this.#call.path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(byName.get(name) ?? ''));
        const query = new URLSearchParams(given('query').flatMap(([parameter, { value }]) => asked(parameter, value)));
        return query.size > 0 ? `${path}?${query}` : path;
    }

    #options() {
        const headers = new Headers();
        for (const [{ name, in: place }, { value }] of this.#inputs) {
            if (place === 'header' && value !== '') headers.set(name, value);
        }
        const token = this.#token().trim();
        if (token !== '') headers.set('Authorization', `Bearer ${token}`);
        const body = this.#body?.value.trim() || undefined;
        if (body !== undefined) headers.set('Content-Type', 'application/json');
        return { method: this.#call.method, headers, body, credentials: 'omit', cache: 'no-store' };
    }

    #show(text) {
        this.#answer.hidden = text === '';
        this.#answer.textContent = indented(text);
    }
}

/** Whether a parameter is an object, whose members are asked for one by one. */
function hasKeys({ style }) {
    return style === 'deepObject';
}

/** The names and values that a query has for what was written into a field. */
function asked(parameter, value) {
    if (!hasKeys(parameter)) return [[parameter.name, value]];
    return [...new URLSearchParams(value)].map(([key, one]) => [`${parameter.name}[${key}]`, one]);
}

function labelled(label, input) {
    return element('div', { class: 'field' }, element('label', { for: input.id }, label), input);
}

/** JSON with its structure; any other text as it is. */
function indented(text) {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
}

/** What comes of an answer within the bounds; the rest is not waited for. */
async function beginning(response) {
    if (!response.body) return '';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const over = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, { done: true }));
    let text = '';
    for (;;) {
        const { done, value } = await Promise.race([reader.read(), over]);
        if (done || text.length > CHARS_MAX) break;
        text += value;
    }
    reader.cancel().catch(() => {}); // It may have ended or broken off: what came is what is shown.
    return text.slice(0, CHARS_MAX);
}
