// The one event stream of this page: it connects, reads frames, and comes back by itself. What the events mean, others know.
//
// A browser has six connections to a server, for all of its tabs. So a tab that nobody looks at gives its stream up after a
// while, unless a reply is being waited for; whoever looks at it again has it back at once.

import { ask, Problem } from './api.js';

/** The server speaks at least every 20 s; a stream that is silent for longer than this is dead. */
const SILENCE_MS = 45000;
/** A hidden tab keeps its stream for so long. */
const HIDDEN_MS = 30000;
/** A connection is made within this, or it is tried again. */
const CONNECT_MS = 15000;
/** A stream that lived for so long was a good one: the next wait is short again. */
const GOOD_MS = 10000;
/** The waits between tries grow up to this. */
const WAIT_MAX_MS = 5000;

/** Splits what comes into frames, and frames into name and data. */
export class Frames {
    #rest = '';
    #decoder = new TextDecoder();

    /**
     * What is complete with this piece of the stream.
     * @param {Uint8Array} bytes
     * @returns {{name: string, data: object}[]}
     */
    take(bytes) {
        const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n\n');
        this.#rest = parts.pop();
        return parts.map(frame).filter(Boolean);
    }
}

function frame(text) {
    let name = 'message';
    const data = [];
    for (const line of text.split('\n')) {
        if (line.startsWith('event:')) name = line.slice(6).trim();
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
    }
    return data.length > 0 ? { name, data: JSON.parse(data.join('\n')) } : null;
}

/** The stream of all of the caller's sessions, for as long as the page wants it. */
export class Stream {
    #listeners;
    #abort = null;
    #tries = 0;
    #timer = 0;
    #heardAt = 0;
    #wanted = false;
    #hiddenTimer = 0;
    /** 'live', 'down', or 'resting' while the tab is hidden. */
    state = 'down';

    /**
     * @param {{opened: Function, event: Function, changed: Function, busy: Function}} listeners `opened()` once events
     *     come, so that what was missed can be read; `event(name, data)`; `changed(state)`; `busy()`: true while a hidden
     *     tab has something to wait for.
     */
    constructor(listeners) {
        this.#listeners = listeners;
    }

    /** Connects, and stays connected until `stop`. */
    start() {
        if (this.#wanted) return;
        this.#wanted = true;
        document.addEventListener('visibilitychange', this.#looked);
        window.addEventListener('online', this.#now);
        window.addEventListener('offline', this.#lost);
        window.addEventListener('pagehide', this.#left);
        window.addEventListener('pageshow', this.#now);
        this.#watch = setInterval(() => this.#check(), 5000);
        this.#listeners.changed(this.state);
        if (document.hidden) this.#looked();
        else this.#connect();
    }

    /** Ends it. */
    stop() {
        this.#wanted = false;
        document.removeEventListener('visibilitychange', this.#looked);
        window.removeEventListener('online', this.#now);
        window.removeEventListener('offline', this.#lost);
        window.removeEventListener('pagehide', this.#left);
        window.removeEventListener('pageshow', this.#now);
        clearInterval(this.#watch);
        clearTimeout(this.#hiddenTimer);
        this.#drop('down');
    }

    /** Tries at once, where there is no stream: something else has just reached the server. */
    nudge() {
        this.#now();
    }

    #watch = 0;

    #now = () => {
        if (!this.#wanted || this.state === 'live') return;
        this.#drop(this.state);
        this.#tries = 0;
        this.#connect();
    };

    #lost = () => {
        this.#drop('down');
        this.#again(WAIT_MAX_MS);
    };

    /** A page that was left is kept for the way back: with their streams, a few would take all connections. */
    #left = () => this.#drop('resting');

    #looked = () => {
        clearTimeout(this.#hiddenTimer);
        if (!document.hidden) {
            this.#check();
            this.#now();
        } else {
            this.#hiddenTimer = setTimeout(() => this.#rest(), HIDDEN_MS);
        }
    };

    #rest() {
        if (!document.hidden || !this.#wanted) return;
        if (this.#listeners.busy()) this.#looked();
        else this.#drop('resting');
    }

    /** Finds a stream that died without a word: the network was switched, or the machine slept. */
    #check() {
        if (this.state === 'live' && performance.now() - this.#heardAt > SILENCE_MS) {
            this.#drop('down');
            this.#connect();
        }
    }

    #drop(state) {
        clearTimeout(this.#timer);
        this.#abort?.abort();
        this.#abort = null;
        this.#tell(state);
    }

    #tell(state) {
        if (this.state === state) return;
        this.state = state;
        this.#listeners.changed(state);
    }

    #again(wait) {
        if (!this.#wanted) return;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#connect(), wait);
    }

    async #connect() {
        clearTimeout(this.#timer);
        if (!this.#wanted) return;
        const abort = new AbortController();
        this.#abort = abort;
        let wait = 0;
        try {
            await this.#read(abort);
        } catch (error) {
            if (error instanceof Problem && error.isOfLogin) return; // Whoever listens for that goes on.
            wait = error instanceof Problem && error.retryAfter !== null ? error.retryAfter * 1000 : 0;
        }
        if (this.#abort !== abort) return; // Dropped, and perhaps begun anew.
        this.#abort = null;
        this.#tell('down');
        this.#tries += 1;
        const backoff = Math.min(250 * 2 ** (this.#tries - 1), WAIT_MAX_MS) * (0.5 + Math.random() / 2);
        this.#again(Math.max(wait, backoff));
    }

    async #read(abort) {
        const timer = setTimeout(() => abort.abort(), CONNECT_MS);
        const response = await ask('GET', '/api/v1/events', { signal: abort.signal }).finally(() =>
            clearTimeout(timer),
        );
        const reader = response.body.getReader();
        const frames = new Frames();
        this.#heardAt = performance.now();
        if (this.#abort !== abort) return;
        const openedAt = this.#heardAt;
        this.#tell('live');
        this.#listeners.opened();
        for (;;) {
            const { value, done } = await reader.read();
            if (done || this.#abort !== abort) return;
            this.#heardAt = performance.now();
            if (this.#heardAt - openedAt > GOOD_MS) this.#tries = 0;
            for (const { name, data } of frames.take(value)) this.#listeners.event(name, data);
        }
    }
}
