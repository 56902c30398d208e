// What is known of one session: a window of its log, the replies that are being made, and how its turns stand.
//
// The log on the server is the truth. The window is a piece of it without gaps; it follows the end of the log, or stands
// somewhere in the middle after a search. Pages and events both bring messages; either may come first. So events that come
// while a page is on its way wait for it, and are then applied in their order: each says how things stand, so one that the
// page has seen already changes nothing.

import { call } from './api.js';
import { grow } from './running.js';

/** Messages asked for at the beginning: 50 turns. */
const PAGE = 100;
/** Messages asked for while somebody scrolls. */
const STEP = 40;
/** Messages of the window that are read anew at once: as many as the server gives. */
const RELOAD = 200;
/** The window has no more messages than this: what is far from what the user reads is forgotten, and read again. */
const WINDOW_MAX = 240;

/** A session as this page knows it. Calls `changed()` after everything that changes what is to be shown. */
export class Conversation {
    /** Messages by sequence, ascending and without gaps. @type {Map<number, object>} */
    messages = new Map();
    /** Replies that are being made, by the sequence that they answer. @type {Map<number, import('./running.js').Running>} */
    running;
    /** Why a turn failed, where the server said so while we listened. @type {Map<number, string>} */
    details = new Map();
    /** The last sequence of the log. */
    head = 0;
    /** There are messages before the window. */
    hasOlder = false;
    /** The window reaches the end of the log. */
    atEnd = true;
    /** The first page has come. */
    isLoaded = false;
    #loads = 0;
    #waiting = [];
    #changed;
    #heard;

    /**
     * @param {string} id
     * @param {Map<number, import('./running.js').Running>} running what is being made in it now
     * @param {{changed: Function, heard: Function}} listeners `changed()`; `heard(kind, message)` for what happens while we
     *     listen: 'stored', 'answering', 'answered', 'failed',
     *     'stopped', 'interrupted', and 'kept' where no new reply could be made in the place of one that there is
     */
    constructor(id, running, { changed, heard }) {
        this.id = id;
        this.running = running;
        this.#changed = changed;
        this.#heard = heard;
    }

    get first() {
        return this.messages.keys().next().value ?? 0;
    }

    get last() {
        return [...this.messages.keys()].at(-1) ?? 0;
    }

    /** Reads the newest messages: at the beginning, after every reconnection, and for the way back to the end. */
    async loadNewest({ ifAtEnd = false } = {}) {
        await this.#load(`limit=${PAGE}`, (page) => {
            if (ifAtEnd && !this.atEnd) return; // Somebody went elsewhere in the log meanwhile.
            const seqs = page.messages.map((message) => message.seq);
            const touches = seqs.length > 0 && this.messages.size > 0 && this.atEnd && seqs[0] <= this.last + 1;
            if (!touches) this.messages = new Map();
            // What the page would have and does not is gone: the history was cleared while nobody listened.
            for (const seq of this.messages.keys()) {
                if (!page.has_more && seq < seqs[0]) this.messages.delete(seq);
            }
            if (!touches || seqs[0] <= this.first) this.hasOlder = page.has_more;
            this.atEnd = true;
            this.#merge(page.messages);
            this.#forget('older');
        });
    }

    /** Reads the window anew where it stands, after a time without events. */
    async reload() {
        if (this.atEnd) return this.loadNewest({ ifAtEnd: true });
        if (this.messages.size === 0) return null; // The part that was asked for is on its way.
        return this.#load(`after=${this.first - 1}&limit=${RELOAD}`, (page) => {
            this.messages = new Map();
            this.#merge(page.messages);
            this.hasOlder = this.first > 1;
            this.atEnd = !page.has_more;
        });
    }

    /** A new stream tells all running replies from their first word; what it does not tell has ended meanwhile. */
    async resync() {
        for (const reply of this.running.values()) reply.isStale = true;
        await this.reload();
        for (const [seq, reply] of this.running) {
            if (reply.isStale) this.running.delete(seq);
        }
        this.#changed();
    }

    /** Reads what comes before the window. */
    async loadOlder() {
        if (!this.hasOlder) return;
        await this.#load(`before=${this.first}&limit=${STEP}`, (page) => {
            // The window may have been read anew meanwhile; then this piece does not touch it.
            if (page.messages.length > 0 && page.messages.at(-1).seq !== this.first - 1) return;
            this.hasOlder = page.has_more;
            this.#merge(page.messages);
            this.#forget('newer');
        });
    }

    /** Reads what comes behind the window. */
    async loadNewer() {
        if (this.atEnd) return;
        await this.#load(`after=${this.last}&limit=${STEP}`, (page) => {
            if (page.messages.length > 0 && page.messages[0].seq !== this.last + 1) return;
            this.#merge(page.messages);
            this.atEnd = !page.has_more;
            this.#forget('older');
        });
    }

    /** Reads the part of the log that `seq` stands in the middle of. */
    async loadAround(seq) {
        if (this.messages.has(seq)) return;
        if (!this.isLoaded) this.atEnd = false; // What is read meanwhile for the end must not take its place.
        await this.#load(`before=${seq + PAGE / 2}&limit=${PAGE}`, (page) => {
            this.messages = new Map();
            this.#merge(page.messages);
            this.hasOlder = page.has_more;
            this.atEnd = this.last >= page.head;
        });
    }

    /** Takes in an event of this session. */
    event(name, data) {
        if (this.#loads > 0) this.#waiting.push([name, data]);
        else if (this.#apply(name, data)) this.#changed();
    }

    /** Takes in a message that the server has acknowledged. What the stream told of it before is newer, and stays. */
    adopt(message) {
        this.event('acknowledged', message);
    }

    /** The turn that is being answered or waits for it: the first one. Nothing where all have their outcome. */
    get open() {
        for (const message of this.messages.values()) {
            if (this.stateOf(message) === 'answering' || message.status === 'pending') return message;
        }
        const [seq] = this.running.keys();
        return seq === undefined ? undefined : { seq };
    }

    /** How a message stands, in the words of the page: a user's 'stored' while it waits, 'answering' once there is text. */
    stateOf(message) {
        if (message.role !== 'user') return message.status;
        if (this.running.has(message.seq)) return 'answering';
        return message.status === 'pending' ? 'stored' : message.status;
    }

    /** Notes that a turn is to be answered anew: it shows as being answered before the first word comes. */
    awaitRetry(seq) {
        if (!this.running.has(seq)) this.running.set(seq, { attempt: 0, text: '', chars: 0 });
        this.#changed();
    }

    /** The retry was refused, or ended without an event. */
    endRetry(seq) {
        if (this.running.get(seq)?.attempt === 0 && this.running.delete(seq)) this.#changed();
    }

    async #load(query, merge) {
        this.#loads += 1;
        try {
            const page = await call('GET', `/api/v1/sessions/${this.id}/messages?${query}`);
            this.head = Math.max(page.head, 0);
            merge(page);
            this.isLoaded = true;
        } finally {
            this.#loads -= 1;
            if (this.#loads === 0) {
                const waiting = this.#waiting;
                this.#waiting = [];
                for (const [name, data] of waiting) this.#apply(name, data);
            }
            this.#changed();
        }
    }

    /** Puts messages into the window, in their order. */
    #merge(messages) {
        const all = new Map([...this.messages, ...messages.map((message) => [message.seq, message])]);
        this.messages = new Map([...all].sort(([a], [b]) => a - b));
        for (const message of messages) {
            if (message.reply_to !== null) this.#replaces(message);
        }
    }

    /** Keeps the window bounded: forgets its older or its newer end. */
    #forget(end) {
        const excess = this.messages.size - WINDOW_MAX;
        if (excess <= 0) return;
        const all = [...this.messages];
        this.messages = new Map(end === 'older' ? all.slice(excess) : all.slice(0, -excess));
        if (end === 'older') this.hasOlder = true;
        else this.atEnd = false;
    }

    /** True where it changed anything. */
    #apply(name, data) {
        switch (name) {
            case 'message':
                return this.#message(data);
            case 'acknowledged':
                return this.messages.has(data.seq) || this.#message(data);
            case 'delta':
                return this.#delta(data);
            case 'done':
                return this.#ended(data);
            case 'failed':
                return this.#ended(data);
            case 'state':
                return this.#state(data);
            case 'session':
                return this.#session(data);
            case 'erased':
                this.#set(data.seq, { content: '' });
                return true;
            default:
                return false;
        }
    }

    #message(message) {
        this.head = Math.max(this.head, message.seq);
        if (message.reply_to !== null) {
            this.running.delete(message.reply_to);
            this.#replaces(message);
        }
        const last = this.last;
        const isKnown = this.messages.has(message.seq);
        if (isKnown) {
            this.#set(message.seq, message);
        } else if (this.atEnd && this.isLoaded && message.seq === last + 1) {
            this.messages.set(message.seq, message);
            this.#forget('older');
        } else if (this.atEnd && this.isLoaded && message.seq > last) {
            this.loadNewest().catch(() => {}); // The stream comes back and reads again where this fails.
        }
        // Of a reply that was stopped the turn's end tells; what a program adds is no news but where it speaks to the user.
        const isNews = message.status !== 'noted' || message.role === 'assistant';
        if (!isKnown && message.status !== 'stopped' && isNews)
            this.#heard(message.role === 'user' ? 'stored' : 'answered', message);
        return true;
    }

    #delta(data) {
        const grown = grow(this.running, data);
        if (grown === 'new') this.#heard('answering', this.messages.get(data.reply_to) ?? { seq: data.reply_to });
        return grown !== null;
    }

    #ended({ reply_to: seq, status, detail, seq: reply }) {
        this.running.delete(seq);
        if (detail && status !== 'answered') this.details.set(seq, detail);
        else this.details.delete(seq);
        this.#set(seq, { status });
        // A retry that failed leaves the reply that there was: then the status is what it had been.
        const isKept = reply === undefined && status === 'answered';
        if (isKept) this.#heard('kept', { seq, detail });
        else if (reply === undefined || status === 'stopped') this.#heard(status, { seq, detail });
        return true;
    }

    /** How the newest turns stood when the stream began. */
    #state({ head, turns }) {
        this.head = Math.max(this.head, head);
        for (const [seq, status] of Object.entries(turns)) {
            this.#set(Number(seq), { status });
        }
        return true;
    }

    #session({ change, through }) {
        if (change !== 'cleared') return false;
        for (const seq of [...this.messages.keys()]) {
            if (seq <= through) this.messages.delete(seq);
        }
        for (const seq of [...this.running.keys()]) {
            if (seq <= through) this.running.delete(seq);
        }
        // All of the log is cleared, or its beginning up to there: what is behind it stays.
        this.hasOlder &&= this.first > through + 1;
        if (this.messages.size === 0 && !this.atEnd) {
            this.atEnd = true;
            this.loadNewest().catch(() => {}); // Where that fails, the next stream reads it.
        }
        return true;
    }

    /** A reply stands in the place of an earlier one to the same message. */
    #replaces(reply) {
        for (const other of this.messages.values()) {
            const isEarlier = other.reply_to !== null && other.seq < reply.seq;
            if (isEarlier && other.reply_to === reply.reply_to) this.#set(other.seq, { status: 'superseded' });
        }
    }

    #set(seq, values) {
        const message = this.messages.get(seq);
        if (message) this.messages.set(seq, { ...message, ...values });
    }
}
