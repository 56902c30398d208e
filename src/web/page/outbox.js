// Messages on their way to the server: in order within a session, each under a key of its own, so that however often one is
// asked for, it is stored once. A message leaves the outbox when the server has acknowledged it, and not before: it survives
// a reload, a crash and a lost connection.

import { ask, call, Problem, Unreachable, wordsOf } from './api.js';
import { dropUnsent, onUnsentElsewhere, setUnsent, unsent } from './kept.js';
import { Frames } from './stream.js';

/** The server remembers a key for 24 hours; after that a repeat would be a second message. */
const KEY_MS = 23 * 3600 * 1000;
/** An acknowledgement takes at most this long; after that the message is asked for again. */
const ACK_MS = 20000;
/** Another tab that sends for so long is asleep, and no longer waited for. */
const SILENT_MS = ACK_MS + 5000;
/** What one tab has kept is there for the others within this. */
const NOTED_MS = 100;
const WAIT_MAX_MS = 15000;
/** A full server is asked again so often before the user is told. */
const BUSY_TRIES = 3;

/**
 * @typedef {object} Entry
 * @property {string} key the idempotency key
 * @property {string} session
 * @property {boolean} makes true where the session has to be made first; that it is there already is no harm
 * @property {string | null} title what it is then called
 * @property {string} content
 * @property {number | null} after the last sequence of the log that was known when it was written; null: none was
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
    entries = [];
    #user;
    #listeners;
    #busy = new Set();
    /** What was written in this tab, and no tab has tried to send. */
    #untried = new Set();
    #wakers = new Set();
    #ended = new AbortController();
    #forgetListener;

    /**
     * @param {string} user
     * @param {{changed: Function, stored: Function, told: Function, expired: Function, gone: Function, written: Function,
     *     seenTo: Function}}
     *     listeners `changed(session)`; `stored(session, message)` once a message is acknowledged; `told(entry)` where one is
     *     unconfirmed or refused; `expired(entry)` for one that is so old that the server may have forgotten its key;
     *     `gone(session)` where it can't be stored because its session is gone; `written(entry)` in another tab;
     *     `seenTo(session)` where another tab has had one stored, or taken it out
     */
    constructor(user, listeners) {
        this.#user = user;
        this.#listeners = listeners;
        this.#forgetListener = onUnsentElsewhere(user, (added) => {
            this.#read();
            if (added) this.#listeners.written(added);
        });
    }

    /** Begins with what the browser kept. */
    start() {
        this.#read();
    }

    /** What of a session is not acknowledged yet, in its order. */
    of(session) {
        return this.entries.filter((entry) => entry.session === session);
    }

    /** Sends a message: the parts of an entry that are not the outbox's own. */
    send({ session, content, makes = false, title = null, after = null }) {
        const entry = { key: newId(), session, makes, title, content, after, at: Date.now(), state: 'sending' };
        this.entries.push(entry);
        this.#untried.add(entry);
        setUnsent(this.#user, entry);
        this.#listeners.changed(session);
        this.#work(session);
    }

    /** Sends a refused message again: as a new one, at the end, since nothing of it was stored. */
    again(entry) {
        this.remove(entry);
        this.send(entry);
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
        this.#forgetListener();
        this.#ended.abort();
        this.wake();
    }

    /** Brings the entries to what the browser keeps: this tab's, and what other tabs added or took out. */
    #read() {
        const kept = unsent(this.#user);
        const known = new Map(this.entries.map((entry) => [entry.key, entry]));
        const sessions = new Set(this.entries.map((entry) => entry.session));
        this.entries = kept.map((entry) => {
            const { state, detail } = entry;
            if (known.has(entry.key)) return Object.assign(known.get(entry.key), { state, detail });
            return { ...entry, state: state === 'refused' ? 'refused' : 'sending' };
        });
        for (const entry of this.entries) {
            sessions.add(entry.session);
            known.delete(entry.key);
        }
        for (const { session } of known.values()) this.#listeners.seenTo(session);
        for (const session of sessions) {
            this.#listeners.changed(session);
            this.#work(session);
        }
    }

    #drop(entry) {
        this.entries = this.entries.filter((other) => other !== entry);
        dropUnsent(this.#user, entry);
    }

    /** Sends what a session has, one after the other. */
    async #work(session) {
        if (this.#busy.has(session)) return;
        this.#busy.add(session);
        try {
            for (;;) {
                const entry = this.of(session).find((waiting) => waiting.state !== 'refused');
                if (entry === undefined || this.#ended.signal.aborted) break;
                await this.#deliver(entry);
            }
        } finally {
            this.#busy.delete(session);
        }
    }

    /** Tries until the server has said what became of it. */
    async #deliver(entry) {
        let busy = 0;
        for (let tries = 0; this.#isWaiting(entry); tries += 1) {
            if (isExpired(entry)) {
                this.#drop(entry);
                this.#listeners.expired(entry);
                return;
            }
            const name = `bondhu.send.${this.#user}.${entry.session}`;
            const error = await alone(name, this.#ended.signal, () => this.#try(entry, busy));
            if (error === null) return;
            if (error instanceof Problem) busy += 1;
            const backoff = Math.min(500 * 2 ** tries, WAIT_MAX_MS) * (0.5 + Math.random() / 2);
            await this.#wait(Math.max(backoff, (error.retryAfter ?? 0) * 1000));
            if (this.#ended.signal.aborted) return;
        }
    }

    #isWaiting(entry) {
        return entry.state !== 'refused' && this.entries.includes(entry);
    }

    /**
     * Tries once, in the place of all tabs: what came of it is kept before another one may try. Gives the error after which it
     * is to be tried again, else null.
     */
    async #try(entry, busy) {
        // What another tab has noted until now has to be here before it is read.
        if (!this.#untried.delete(entry)) await new Promise((resolve) => setTimeout(resolve, NOTED_MS));
        const kept = unsent(this.#user).find(({ key }) => key === entry.key);
        if (kept === undefined || kept.state === 'refused') {
            this.#read();
            return null;
        }
        try {
            const message = await post(entry, this.#ended.signal);
            this.#drop(entry);
            if (!this.#ended.signal.aborted) this.#listeners.stored(entry.session, message);
            return null;
        } catch (error) {
            // What was taken out meanwhile, here or in another tab, must not be kept again.
            if (this.#ended.signal.aborted || !this.#isWaiting(entry)) return null;
            return this.#failed(entry, error, busy);
        }
    }

    #failed(entry, error, busy) {
        const isRefused = error instanceof Problem;
        if (!isRefused && !(error instanceof Unreachable)) throw error;
        if (isRefused && error.isOfLogin) {
            this.end(); // It is kept, and sent once its user is back.
        } else if (isRefused && error.kind === 'not-owner') {
            this.#listeners.gone(entry.session);
        } else if (isRefused && (error.status !== 503 || busy >= BUSY_TRIES)) {
            this.#note(entry, 'refused', wordsOf(error));
        } else {
            if (!isRefused && entry.state !== 'unconfirmed') this.#note(entry, 'unconfirmed');
            return error;
        }
        return null;
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

/** True where the server may no longer know the key: a repeat could be a second message. */
function isExpired({ at }) {
    const age = Date.now() - at;
    return age > KEY_MS || age < -KEY_MS;
}

/**
 * Does something that no other tab does at the same time: one that ends gives its lock back, and one that sleeps holds up
 * nobody. Where browsers have no locks, as on a page that came over plain HTTP, all do it: the key makes it one message.
 */
async function alone(name, ended, act) {
    if (!navigator.locks) return act();
    let isOurs = false;
    const signal = AbortSignal.any([AbortSignal.timeout(SILENT_MS), ended]);
    try {
        return await navigator.locks.request(name, { signal }, () => {
            isOurs = true;
            return act();
        });
    } catch (error) {
        if (isOurs) throw error;
        return ended.aborted ? null : act();
    }
}

/** Asks for the message to be stored; gives it once it is. Its reply comes by the page's own stream. */
async function post({ key, session, makes, title, content }, ended) {
    if (makes) await call('POST', '/api/v1/sessions', title === null ? { id: session } : { id: session, title });
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), ACK_MS);
    try {
        const response = await ask('POST', `/api/v1/sessions/${session}/messages`, {
            body: { content, stream: true },
            headers: { 'Idempotency-Key': key },
            signal: AbortSignal.any([abort.signal, ended]),
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
