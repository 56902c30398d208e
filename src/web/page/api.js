// Calls of the HTTP API, and what is said where they fail.

import { Problem, Unreachable } from './failure.js';
import { current, say } from './language.js';

export { Problem, Unreachable };

/** A call takes at most this long where its caller says nothing else, milliseconds. */
const PATIENCE_MS = 30000;

/** What is said to be waited where the server does not say how long, seconds. */
const A_WHILE_S = 10;

/** Problems that leave open what was done. */
const UNKNOWN = ['outcome-unknown', 'timed-out', 'internal'];

let whenLoginEnds = () => {};
/** Whose login the page means; requests say it, so that none of them is done for who signed in in the meantime. */
let user = null;

/** Has `listener` called whenever the server says that nobody is signed in, or somebody else (`'other-login'`). */
export function onLoginEnd(listener) {
    whenLoginEnds = listener;
}

/** Says in whose name the page asks from now on; null: in nobody's. */
export function askFor(id) {
    user = id;
}

/**
 * What is to be said of a call that failed. The server says it in English, and more exactly; in other languages its kind is
 * said, and which field it is about, where there are words for it. How long to wait the server says beside its words only.
 */
export function wordsOf(error) {
    if (error instanceof Unreachable) return say('unreachable');
    if (!(error instanceof Problem)) throw error;
    const { kind, detail, status, retryAfter } = error;
    const isOurs = current() !== 'en' || detail === '' || (status === 429 && retryAfter !== null);
    const said = [say(`invalid_${fieldOf(error)}`), say(`problem_${kind}`, { n: retryAfter ?? A_WHILE_S })];
    const known = isOurs && said.find((words) => !/^(invalid|problem)_/.test(words));
    return known || detail || say('refused_on_the_way', { status });
}

/** The field whose value the server does not take, where it names one. */
function fieldOf({ kind, detail }) {
    const field = kind === 'invalid' ? /^(\w+): /.exec(detail)?.[1] : undefined;
    return field === 'new' ? 'password' : field;
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
            headers: {
                ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
                ...(user === null ? {} : { 'X-Bondhu-User': user }),
                ...headers,
            },
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
    const { status } = response;
    const isOurs = (response.headers.get('content-type') ?? '').startsWith('application/problem+json');
    const body = isOurs ? await response.json().catch(() => ({})) : {};
    const problem = new Problem(status, body, seconds(response.headers.get('retry-after')));
    // A proxy in front of us may answer while we can't. What it says of a request itself stands; of all else only our own
    // words say that nothing was done.
    const isJudged = isOurs ? !UNKNOWN.includes(problem.kind) : status < 500 && ![408, 425, 429].includes(status);
    if (!isJudged) return new Unreachable(problem.detail || `HTTP ${status}`);
    if (problem.isOfLogin && user !== null) whenLoginEnds(problem.kind);
    return problem;
}

function seconds(header) {
    const value = Number.parseInt(header ?? '', 10);
    return Number.isFinite(value) && value >= 0 ? value : null;
}
