// The conversation that is open: joins what is known of it, what is on its way, the log and the box.

import { announce } from './announce.js';
import { call, Problem, wordsOf } from './api.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { element } from './element.js';
import { itemsOf } from './items.js';
import { addDraft, draft, forgetSession, hasLeft, onDraftDropped, setDraft, unsent } from './kept.js';
import { say } from './language.js';
import { Log } from './log.js';
import { newId } from './outbox.js';
import { RunningReplies } from './running.js';
import { welcome } from './welcome.js';

/** A new session is called by the beginning of its first message, characters. */
const TITLE_MAX = 60;
/** After a reading that failed, milliseconds; each time twice as long, up to the second. */
const REST_MS = 1000;
const REST_MAX_MS = 15000;
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
    #timer = 0;
    #showTimer = 0;
    #running = new RunningReplies();
    /** Sessions of which the server has acknowledged nothing yet: they are made with their first message. */
    #fresh = new Set();
    /** A new stream came while the open session was such a one. */
    #isBehind = false;
    #forgetListener;

    /**
     * @param {object} user
     * @param {object} about what the server says of itself
     * @param {import('./outbox.js').Outbox} outbox where messages wait until they are acknowledged
     * @param {{opened: Function, gone: Function}} listeners `opened(id)` when a new session gets its address; `gone(id)` when
     *     a session is not there
     */
    constructor(user, about, outbox, listeners) {
        this.#user = user;
        this.#outbox = outbox;
        this.#listeners = listeners;
        this.#forgetListener = onDraftDropped(user.id, (session) => this.#keep(session));
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
        this.notice = element('p', { class: 'notice', role: 'status' });
        this.welcome = welcome(user, (text) => {
            this.composer.text = [this.composer.text, text].filter(Boolean).join('\n');
            this.composer.focus();
        });
        const heading = element('h2', { class: 'unseen' }, say('conversation'));
        this.node = element(
            'div',
            { class: 'talk' },
            heading,
            this.welcome,
            this.log.node,
            element('div', { class: 'latest-place' }, this.log.latest),
            this.notice,
            this.composer.node,
        );
    }

    /** Shows a session, or the beginning of a new one; with `seq`, that message. */
    async open(id, seq) {
        if (id !== null && this.conversation?.id === id) {
            if (seq) await this.#show(seq);
            return;
        }
        this.#leave();
        this.log.clear();
        this.conversation = id === null ? null : this.#made(id);
        this.#tell('');
        this.composer.text = draft(this.#user.id, id ?? NEW);
        this.changed();
        if (id === null) return;
        await (seq ? this.#show(seq) : this.#readNewest());
    }

    /** The stream is open (again): it tells running replies anew, and what it did not tell is read. */
    async resync() {
        this.#running.restart(this.conversation?.id);
        // There is nothing to be read yet of a session that is still to be made; it is read with its first message.
        this.#isBehind = this.#fresh.has(this.conversation?.id);
        if (!this.#isBehind) await this.#readNewest((conversation) => conversation.resync());
    }

    /**
     * A session is gone, here or elsewhere: what was written for it and is in no log goes into the next one, not away.
     * @returns {boolean} whether there was something
     */
    forget(id) {
        const isOpen = this.conversation?.id === id;
        const entries = this.#outbox.of(id);
        // What another tab has taken over already is not there any more.
        const kept = unsent(this.#user.id).map(({ key }) => key);
        const said = entries.filter(({ key }) => kept.includes(key)).map(({ content }) => content);
        const written = [...said, isOpen ? this.composer.text : draft(this.#user.id, id)].filter(Boolean);
        if (isOpen) {
            this.conversation = null;
            this.log.clear();
        }
        this.#fresh.delete(id);
        for (const entry of entries) this.#outbox.remove(entry);
        forgetSession(this.#user.id, id);
        if (written.length === 0) return false;
        addDraft(this.#user.id, NEW, written.join('\n'));
        if (this.conversation === null) this.composer.text = draft(this.#user.id, NEW);
        return true;
    }

    /** Another tab has seen to a message: the session that was made with it may be there now. */
    seenTo(session) {
        if (session === this.conversation?.id && !this.conversation.isLoaded) this.#readNewest();
    }

    /** Another tab has sent what stands in this one's box too: it is said, and not to be said twice. */
    saidElsewhere({ session, makes, content }) {
        const isHere = session === this.conversation?.id || (makes && this.conversation === null);
        if (isHere && this.composer.text === content) this.composer.text = '';
    }

    /** Ends what it does; nothing is shown any more. */
    end() {
        clearTimeout(this.#timer);
        clearTimeout(this.#showTimer);
        this.#forgetListener();
        this.conversation = null;
    }

    /** An event of any of the user's sessions. */
    event(name, data) {
        if (name === 'message') this.#fresh.delete(data.session_id);
        if (data.session_id === this.conversation?.id) this.conversation.event(name, data);
        else this.#running.event(name, data);
    }

    /** The server has a message. */
    stored(session, message) {
        const isBehind = this.#fresh.delete(session) && this.#isBehind;
        for (const entry of this.#outbox.of(session)) entry.after = Math.max(entry.after ?? 0, message.seq);
        if (session !== this.conversation?.id) return;
        const { isLoaded } = this.conversation;
        if (isLoaded) this.conversation.adopt(message);
        if (!isLoaded || isBehind) this.#readNewest();
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
        if (open)
            await this.#ask(this.conversation, `/api/v1/sessions/${this.conversation.id}/messages/${open.seq}/stop`);
    }

    #made(id) {
        return new Conversation(id, this.#running.of(id), {
            changed: () => {
                if (this.conversation?.id === id) this.changed();
            },
            heard: (kind, message) => {
                if (this.conversation?.id !== id) return;
                if (kind === 'kept') this.#tell([say('kept_reply'), message.detail].filter(Boolean).join(' '));
                else speak(kind, message);
            },
        });
    }

    #send(content) {
        if (this.conversation === null) {
            setDraft(this.#user.id, NEW, '');
            this.conversation = this.#made(newId());
            this.conversation.isLoaded = true;
            this.#fresh.add(this.conversation.id);
            this.#listeners.opened(this.conversation.id);
        }
        this.#tell('');
        const { id, head, isLoaded } = this.conversation;
        const makes = this.#fresh.has(id);
        this.#outbox.send({
            session: id,
            content,
            makes,
            title: makes ? titleOf(content) : null,
            after: isLoaded ? head : null,
        });
        this.log.toEnd();
    }

    /** A session may never have been made, and is then in no list: what was refused in it goes to the box of a new one. */
    #leave() {
        clearTimeout(this.#timer);
        clearTimeout(this.#showTimer);
        const { id, isLoaded } = this.conversation ?? {};
        const entries = this.#outbox.of(id);
        // After a reload only its messages tell that it is not made.
        const isUnmade = isLoaded === false && entries.length > 0 && entries.every(({ makes }) => makes);
        if (!this.#fresh.has(id) && !isUnmade) return;
        if (entries.some(({ state }) => state !== 'refused')) return;
        const said = entries.map(({ content }) => content);
        const begun = [draft(this.#user.id, NEW), ...said, this.composer.text].filter(Boolean).join('\n');
        for (const entry of entries) this.#outbox.remove(entry);
        setDraft(this.#user.id, id, '');
        setDraft(this.#user.id, NEW, begun);
        this.#fresh.delete(id);
    }

    /** Another tab took a draft away: sent it, perhaps. What stands in this one's box is kept all the same. */
    #keep(session) {
        const isHere = session === (this.conversation?.id ?? NEW);
        if (isHere && !hasLeft(this.#user.id)) setDraft(this.#user.id, session, this.composer.text);
    }

    async #show(seq) {
        const { conversation } = this;
        clearTimeout(this.#showTimer);
        const failed = await this.#read((shown) => shown.loadAround(seq));
        if (conversation !== this.conversation || conversation === null) return;
        if (failed) {
            this.#showTimer = setTimeout(() => this.#show(seq), Math.max((failed.retryAfter ?? 0) * 1000, REST_MS));
            return;
        }
        if (!this.log.toMessage(seq)) this.#tell(say('message_gone'));
    }

    /**
     * Reads what somebody scrolls to, one part at a time. After a reading that failed it rests: who scrolls on must not ask
     * again with every turn of the wheel.
     */
    async #step(load) {
        if (this.#isStepping || performance.now() < this.#restsUntil) return;
        this.#isStepping = true;
        const failed = await this.#read(load);
        this.#isStepping = false;
        if (!failed) return;
        const ms = Math.max((failed.retryAfter ?? 0) * 1000, REST_MS);
        this.#restsUntil = performance.now() + ms;
        setTimeout(() => this.changed(), ms + 1);
    }

    /** Reads the end of the log until that has worked: what is shown must not stay behind what is there. */
    async #readNewest(load = (conversation) => conversation.loadNewest(), rest = REST_MS) {
        clearTimeout(this.#timer);
        const { conversation } = this;
        const failed = await this.#read(load);
        if (!failed || conversation !== this.conversation || conversation === null) return;
        const ms = Math.max((failed.retryAfter ?? 0) * 1000, rest);
        this.#timer = setTimeout(() => this.#readNewest(load, Math.min(rest * 2, REST_MAX_MS)), ms);
    }

    /** Reads a part of the log; says why where that can't be, and gives the error where it may work later. */
    async #read(load) {
        const { conversation } = this;
        if (conversation === null) return null;
        try {
            await load(conversation);
            if (conversation === this.conversation) this.#tell('');
            return null;
        } catch (error) {
            if (conversation !== this.conversation) return null;
            const isGone = error instanceof Problem && error.kind === 'not-owner';
            if (isGone) {
                // A session that is made with a message which waits here is not there yet.
                const isComing = this.#outbox.of(conversation.id).some(({ makes }) => makes);
                if (!isComing && !this.#fresh.has(conversation.id)) this.#listeners.gone(conversation.id);
                return null;
            }
            if (!conversation.isLoaded) this.#tell(wordsOf(error));
            return error;
        }
    }

    #act(action, item) {
        const { seq, of, entry } = item;
        if (action === 'retry' || action === 'again') this.#retry(action === 'again' ? of : seq);
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
        await this.#ask(conversation, `/api/v1/sessions/${conversation.id}/messages/${seq}/retry`);
        conversation.endRetry(seq);
    }

    /** Asks for something whose outcome comes by the stream; says why where it is refused. */
    async #ask(conversation, path) {
        let words = '';
        try {
            await call('POST', path, undefined, { patience: 0 });
        } catch (error) {
            const isOutcome = error instanceof Problem && [409, 502, 504].includes(error.status);
            words = isOutcome ? '' : wordsOf(error);
        }
        if (conversation === this.conversation) this.#tell(words);
    }

    #tell(text) {
        if (this.notice.textContent !== text) this.notice.textContent = text;
    }

    #lastSaid() {
        const said = [...(this.conversation?.messages.values() ?? [])].filter((message) => message.role === 'user');
        return said.at(-1)?.content ?? '';
    }
}

/** The beginning of a text, cut between words; null where it has nothing that can be read. */
function titleOf(text) {
    const lines = text.split('\n').map((line) => line.replace(/[\p{Cc}\s]+/gu, ' ').trim());
    const line = lines.find((words) => /[\p{L}\p{N}\p{P}\p{S}]/u.test(words));
    if (line === undefined) return null;
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
