// Calls of the HTTP API. Every refusal becomes a Problem with the server's own sentence; where there is no answer at all,
// or one that says nothing about what happened, it is Unreachable: what was asked may or may not have been done.

/** A call takes at most this long where its caller says nothing else, milliseconds. */
const PATIENCE_MS = 30000;

let whenSignedOut = () => {};

/** The server refused, and nothing happened. `detail` is a sentence for the user. */
export class Problem extends Error {
    constructor(status, body, retryAfter) {
        super(body.detail ?? `HTTP ${status}`);
        this.status = status;
        this.kind = (body.type ?? '').split(':').pop();
        this.detail = body.detail ?? '';
        /** Seconds until it may be worth while to ask again; null where the server does not say. */
        this.retryAfter = retryAfter;
    }
}

/** No answer, or none that says whether anything was done: ask again, with the same key. */
export class Unreachable extends Error {}

/** Has `listener` called whenever the server says that nobody is signed in. */
export function onSignedOut(listener) {
    whenSignedOut = listener;
}

/**
 * Asks, and gives the response once its status is fine.
 * @param {string} method
 * @param {string} path
 * @param {{body?: object, headers?: object, signal?: AbortSignal}} options
 * @returns {Promise<Response>}
 * @throws {Problem | Unreachable}
 */
export async function ask(method, path, { body, headers = {}, signal } = {}) {
    let response;
    try {
        response = await fetch(path, {
            method,
            signal,
            headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
            body: body === undefined ? undefined : JSON.stringify(body),
            credentials: 'same-origin',
        });
    } catch (error) {
        throw new Unreachable(error.message);
    }
    if (response.ok || response.status === 304) return response;
    throw await refusal(response);
}

/**
 * Asks, and gives the answer's JSON; null where there is none.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {{patience?: number}} options `patience` in milliseconds; 0: none but the server's
 */
export async function call(method, path, body, { patience = PATIENCE_MS } = {}) {
    const signal = patience > 0 ? AbortSignal.timeout(patience) : undefined;
    const response = await ask(method, path, { body, signal });
    if (response.status === 204) return null;
    try {
        return await response.json();
    } catch (error) {
        throw new Unreachable(error.message);
    }
}

/** What a response that is no success means. */
async function refusal(response) {
    const isOurs = (response.headers.get('content-type') ?? '').startsWith('application/problem+json');
    const body = isOurs ? await response.json().catch(() => ({})) : {};
    const problem = new Problem(response.status, body, seconds(response.headers.get('retry-after')));
    // A proxy in front of us may answer while we can't; only our own words say that nothing was done.
    if (!isOurs || problem.kind === 'outcome-unknown' || problem.kind === 'timed-out' || problem.kind === 'internal') {
        return new Unreachable(problem.detail || `HTTP ${response.status}`);
    }
    if (problem.kind === 'no-identity' || problem.kind === 'invalid-token') whenSignedOut();
    return problem;
}

function seconds(header) {
    const value = Number.parseInt(header ?? '', 10);
    return Number.isFinite(value) && value >= 0 ? value : null;
}
