// Messages on their way to the server: in order within a session, each under a key of its own, so that however often one is
// asked for, it is stored once. A message leaves the outbox when the server has acknowledged it, and not before: it survives
// a reload, a crash and a lost connection.

import { ask, call, Problem, Unreachable } from './api.js';
import { dropUnsent, setUnsent, unsent } from './kept.js';
import { Frames } from './stream.js';

/** The server remembers a key for 24 hours; after that a repeat would be a second message. */
const KEY_MS = 23 * 3600 * 1000;
/** An acknowledgement takes at most this long; after that the message is asked for again. */
const ACK_MS = 20000;
const WAIT_MAX_MS = 15000;
/** A full server is asked again so often before the user is told. */
const BUSY_TRIES = 3;

/**
 * @typedef {object} Entry
 * @property {string} key the idempotency key
 * @property {string} session
 * @property {string | null} title for a session that has to be made first
 * @property {string} content
 * @property {number} after the last sequence of the log that was known when it was written
 * @property {number} at when it was written
 * @property {'sending' | 'unconfirmed' | 'refused'} state
 * @property {string} [detail] why it was refused
 */

/** A random UUID, also where the page came over plain HTTP and `crypto.randomUUID` is not there. */
export function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The outbox of one user. */
export class Outbox {
    /** @type {Entry[]} */
    entries;
    #user;
    #listeners;
    #busy = new Set();
    #wakers = new Set();
    #ended = false;

    /**
     * @param {string} user
     * @param {{changed: Function, stored: Function, told: Function, expired: Function}} listeners `changed(session)`;
     *     `stored(session, message)` once a message is acknowledged; `told(entry)` where one is unconfirmed or refused;
     *     `expired(entry)` for one from a day ago, whose key the server may have forgotten
     */
    constructor(user, listeners) {
        this.#user = user;
        this.#listeners = listeners;
        this.entries = [];
        for (const kept of unsent(user)) {
            if (kept.state !== 'refused' && Date.now() - kept.at > KEY_MS) {
                dropUnsent(user, kept);
                listeners.expired(kept);
            } else {
                this.entries.push({ ...kept, state: kept.state === 'refused' ? 'refused' : 'sending' });
            }
        }
        for (const session of new Set(this.entries.map((entry) => entry.session))) this.#work(session);
    }

    /** What of a session is not acknowledged yet, in its order. */
    of(session) {
        return this.entries.filter((entry) => entry.session === session);
    }

    /** Sends a message; `title` makes its session first; `after`: the end of the log as far as it is known. */
    send(session, content, { title = null, after = 0 } = {}) {
        const entry = { key: newId(), session, title, content, after, at: Date.now(), state: 'sending' };
        this.entries.push(entry);
        setUnsent(this.#user, entry);
        this.#listeners.changed(session);
        this.#work(session);
    }

    /** Sends a refused message again: as a new one, at the end, since nothing of it was stored. */
    again(entry) {
        this.remove(entry);
        this.send(entry.session, entry.content, entry);
    }

    /** Takes a refused message out. */
    remove(entry) {
        this.#drop(entry);
        this.#listeners.changed(entry.session);
    }

    /** The connection is back: no need to wait any longer. */
    wake() {
        for (const wake of this.#wakers) wake();
    }

    /** Ends all work; what is unacknowledged stays with the browser. */
    end() {
        this.#ended = true;
        this.wake();
    }

    #drop(entry) {
        this.entries = this.entries.filter((other) => other !== entry);
        dropUnsent(this.#user, entry);
    }

    /** Sends what a session has, one after the other. */
    async #work(session) {
        if (this.#busy.has(session)) return;
        this.#busy.add(session);
        for (;;) {
            const entry = this.of(session).find((waiting) => waiting.state !== 'refused');
            if (entry === undefined || this.#ended) break;
            await this.#deliver(entry);
        }
        this.#busy.delete(session);
    }

    /** Tries until the server has said what became of it. */
    async #deliver(entry) {
        let busy = 0;
        for (let tries = 0; !this.#ended; tries += 1) {
            try {
                const message = await post(entry);
                this.#drop(entry);
                this.#listeners.stored(entry.session, message);
                return;
            } catch (error) {
                const isRefused = error instanceof Problem;
                if (!isRefused && !(error instanceof Unreachable)) throw error;
                if (isRefused && error.status === 401) {
                    this.#ended = true; // It is kept, and sent once the user has signed in.
                    return;
                }
                if (isRefused && (error.status !== 503 || busy >= BUSY_TRIES)) {
                    this.#note(entry, 'refused', error.detail);
                    return;
                }
                if (isRefused) busy += 1;
                else if (entry.state !== 'unconfirmed') this.#note(entry, 'unconfirmed');
                const backoff = Math.min(500 * 2 ** tries, WAIT_MAX_MS) * (0.5 + Math.random() / 2);
                await this.#wait(Math.max(backoff, (error.retryAfter ?? 0) * 1000));
            }
        }
    }

    #note(entry, state, detail) {
        entry.state = state;
        entry.detail = detail;
        setUnsent(this.#user, entry);
        this.#listeners.told(entry);
        this.#listeners.changed(entry.session);
    }

    #wait(ms) {
        return new Promise((resolve) => {
            const done = () => {
                clearTimeout(timer);
                this.#wakers.delete(done);
                resolve();
            };
            const timer = setTimeout(done, ms);
            this.#wakers.add(done);
        });
    }
}

/** Asks for the message to be stored; gives it once it is. Its reply comes by the page's own stream. */
async function post({ key, session, title, content }) {
    if (title !== null) await call('POST', '/api/v1/sessions', { id: session, title });
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), ACK_MS);
    try {
        const response = await ask('POST', `/api/v1/sessions/${session}/messages`, {
            body: { content, stream: true },
            headers: { 'Idempotency-Key': key },
            signal: abort.signal,
        });
        return await acknowledged(response);
    } finally {
        clearTimeout(timer);
        abort.abort(); // One connection less; the reply belongs to the server.
    }
}

/** The first message of the turn's stream is the user's own, and it is on disk. */
async function acknowledged(response) {
    const reader = response.body.getReader();
    const frames = new Frames();
    try {
        for (;;) {
            const { value, done } = await reader.read();
            if (done) throw new Unreachable('the answer broke off');
            const message = frames.take(value).find(({ name }) => name === 'message');
            if (message) return message.data;
        }
    } catch (error) {
        throw error instanceof Unreachable ? error : new Unreachable(error.message);
    }
}
