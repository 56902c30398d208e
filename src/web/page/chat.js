// The conversation that is open: joins what is known of it, what is on its way, the log and the box.

import { announce } from './announce.js';
import { call, Problem } from './api.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { element } from './element.js';
import { itemsOf } from './items.js';
import { draft, setDraft } from './kept.js';
import { say } from './language.js';
import { Log } from './log.js';
import { newId } from './outbox.js';
import { welcome } from './welcome.js';

/** A new session is called by the beginning of its first message, characters. */
const TITLE_MAX = 60;
/** After a reading that failed, milliseconds. */
const REST_MS = 1000;
/** The key of the draft for a session that is not there yet. */
const NEW = 'new';

/** The main part of the page. */
export class Chat {
    /** @type {Conversation | null} */
    conversation = null;
    #user;
    #outbox;
    #listeners;
    #isStepping = false;
    #restsUntil = 0;

    /**
     * @param {object} user
     * @param {object} about what the server says of itself
     * @param {{opened: Function, gone: Function}} listeners `opened(id)` when a new session gets its address; `gone()` when
     *     the session is not there
     */
    constructor(user, about, listeners) {
        this.#user = user;
        this.#listeners = listeners;
        this.log = new Log({
            act: (action, item) => this.#act(action, item),
            older: () => this.#step((conversation) => conversation.loadOlder()),
            newer: () => this.#step((conversation) => conversation.loadNewer()),
            latest: () => this.#read((conversation) => conversation.loadNewest()),
        });
        this.composer = new Composer({
            max: about.message_chars_max,
            send: (text) => this.#send(text),
            stop: () => this.stop(),
            typed: (text) => setDraft(user.id, this.conversation?.id ?? NEW, text),
            last: () => this.#lastSaid(),
        });
        this.notice = element('p', { class: 'notice', role: 'status', hidden: true });
        this.welcome = welcome(user, (text) => {
            this.composer.text = text;
            this.composer.focus();
        });
        const heading = element('h2', { class: 'unseen' }, say('conversation'));
        this.node = element('div', { class: 'talk' }, heading, this.welcome, this.log.node, this.log.latest, this.notice, this.composer.node);
    }

    /** Where messages wait until they are acknowledged; set once, before a session is opened. */
    set outbox(outbox) {
        this.#outbox = outbox;
    }

    /** Shows a session, or the beginning of a new one; with `seq`, that message. */
    async open(id, seq) {
        if (id !== null && this.conversation?.id === id) {
            if (seq) await this.#show(seq);
            return;
        }
        this.log.clear();
        this.conversation = id === null ? null : this.#made(id);
        this.#tell('');
        this.composer.text = draft(this.#user.id, id ?? NEW);
        this.changed();
        if (id === null) return;
        await (seq ? this.#show(seq) : this.#read((conversation) => conversation.loadNewest()));
    }

    /** The stream is open (again): reads what it did not tell. */
    async resync() {
        if (this.conversation?.atEnd) await this.#read((conversation) => conversation.loadNewest());
    }

    /** An event of any of the user's sessions. */
    event(name, data) {
        if (data.session_id === this.conversation?.id) this.conversation.event(name, data);
    }

    /** The server has a message. */
    stored(session, message) {
        for (const entry of this.#outbox.of(session)) entry.after = Math.max(entry.after ?? 0, message.seq);
        if (session !== this.conversation?.id) return;
        if (this.conversation.isLoaded) this.conversation.adopt(message);
        else this.#read((conversation) => conversation.loadNewest());
    }

    /** Something of what is shown has changed. */
    changed() {
        const { conversation } = this;
        const entries = conversation ? this.#outbox.of(conversation.id) : [];
        const items = conversation ? itemsOf(conversation, entries) : [];
        const isEmpty = items.length === 0 && (conversation === null || conversation.isLoaded);
        this.welcome.hidden = !isEmpty;
        this.log.node.hidden = isEmpty;
        this.composer.isAnswering = conversation?.open !== undefined;
        this.log.show(items, {
            hasOlder: conversation?.hasOlder ?? false,
            atEnd: conversation?.atEnd ?? true,
            isBusy: (conversation?.running.size ?? 0) > 0,
        });
    }

    /** True while something is being answered or on its way. */
    get isBusy() {
        return this.conversation?.open !== undefined || this.#outbox.entries.some(({ state }) => state !== 'refused');
    }

    /** Ends the reply that is being made with what there is. */
    async stop() {
        const open = this.conversation?.open;
        if (open) await this.#ask('POST', `/api/v1/sessions/${this.conversation.id}/messages/${open.seq}/stop`);
    }

    #made(id) {
        return new Conversation(id, {
            changed: () => { if (this.conversation?.id === id) this.changed(); },
            heard: (kind, message) => {
                if (this.conversation?.id !== id) return;
                if (kind === 'kept') this.#tell([say('kept_reply'), message.detail].filter(Boolean).join(' '));
                else speak(kind, message);
            },
        });
    }

    #send(text) {
        let title = null;
        if (this.conversation === null) {
            title = titleOf(text);
            setDraft(this.#user.id, NEW, '');
            this.conversation = this.#made(newId());
            this.conversation.isLoaded = true;
            this.#listeners.opened(this.conversation.id);
        }
        this.#tell('');
        this.#outbox.send(this.conversation.id, text, { title, after: this.conversation.head });
        this.log.toEnd();
    }

    async #show(seq) {
        await this.#read((conversation) => conversation.loadAround(seq));
        this.log.toMessage(seq);
    }

    /**
     * Reads what somebody scrolls to, one part at a time. After a reading that failed it rests: who scrolls on must not ask
     * again with every turn of the wheel.
     */
    async #step(load) {
        if (this.#isStepping || Date.now() < this.#restsUntil) return;
        this.#isStepping = true;
        await this.#read(load);
        this.#isStepping = false;
    }

    /** Reads a part of the log; says why where that can't be. */
    async #read(load) {
        const { conversation } = this;
        if (conversation === null) return;
        try {
            await load(conversation);
            this.#tell('');
        } catch (error) {
            this.#rest(error);
            if (conversation !== this.conversation) return;
            const isGone = error instanceof Problem && error.kind === 'not-owner';
            // A session of which the first message is still on its way is not there yet.
            if (isGone && this.#outbox.of(conversation.id).length > 0) return;
            if (isGone) this.#listeners.gone();
            else if (!conversation.isLoaded) this.#tell(error instanceof Problem ? error.detail : say('unreachable'));
        }
    }

    #rest({ retryAfter }) {
        const ms = Math.max((retryAfter ?? 0) * 1000, REST_MS);
        this.#restsUntil = Date.now() + ms;
        setTimeout(() => this.changed(), ms + 1);
    }

    async #act(action, item) {
        const { seq, of, entry } = item;
        if (action === 'retry' || action === 'again') await this.#retry(action === 'again' ? of : seq);
        else if (action === 'resend') this.#outbox.again(entry);
        else if (action === 'drop' || action === 'edit') {
            this.#outbox.remove(entry);
            if (action === 'edit') this.composer.text = [entry.content, this.composer.text].filter(Boolean).join('\n');
        }
        this.composer.focus();
    }

    async #retry(seq) {
        const { conversation } = this;
        conversation.awaitRetry(seq);
        this.log.toEnd();
        await this.#ask('POST', `/api/v1/sessions/${conversation.id}/messages/${seq}/retry`);
        conversation.endRetry(seq);
    }

    /** Asks for something whose outcome comes by the stream; says why where it is refused. */
    async #ask(method, path) {
        try {
            await call(method, path, undefined, { patience: 0 });
            this.#tell('');
        } catch (error) {
            const isOutcome = error instanceof Problem && (error.status === 502 || error.status === 504 || error.status === 409);
            if (!isOutcome) this.#tell(error instanceof Problem ? error.detail : say('unreachable'));
        }
    }

    #tell(text) {
        this.notice.textContent = text;
        this.notice.hidden = text === '';
    }

    #lastSaid() {
        const said = [...(this.conversation?.messages.values() ?? [])].filter((message) => message.role === 'user');
        return said.at(-1)?.content ?? '';
    }
}

/** The beginning of a text, cut between words. */
function titleOf(text) {
    const line = text.trim().split('\n')[0].replace(/\s+/gu, ' ').trim() || text.trim().replace(/\s+/gu, ' ');
    const chars = [...line];
    if (chars.length <= TITLE_MAX) return line;
    const cut = chars.slice(0, TITLE_MAX).join('');
    const space = cut.lastIndexOf(' ');
    return `${space > TITLE_MAX / 2 ? cut.slice(0, space) : cut}…`;
}

function speak(kind, message) {
    if (kind === 'answered') announce(say('spoken_reply', { text: message.content ?? '' }));
    else announce([say(`spoken_${kind}`), message.detail].filter(Boolean).join(' '));
}
