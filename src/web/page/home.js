// Everything of a signed-in user: the frame, the sessions, the open conversation, the outbox and the stream. It ends as a
// whole, and leaves nothing of them on the page.

import * as announcer from './announce.js';
import { call, wordsOf } from './api.js';
import { Chat } from './chat.js';
import { confirm, keys, session as sessionMenu } from './dialogs.js';
import { draft, setDraft } from './kept.js';
import { say } from './language.js';
import { Outbox } from './outbox.js';
import { search } from './search.js';
import { Sessions, titleOf } from './sessions.js';
import { settings } from './settings.js';
import { Shell, whoSees } from './shell.js';
import { Stream } from './stream.js';

/** How often it is looked whether a new day has begun, milliseconds. */
const DAY_LOOK_MS = 60000;

/** The page of one user. */
export class Home {
    #acts;
    #timer = 0;
    /** Sessions that are being deleted here: nobody has to be told of that. */
    #deleting = new Set();
    #hasNews = false;

    /**
     * @param {object} user
     * @param {object} about what the server says of itself
     * @param {{language: Function, theme: Function, signOut: Function, gone: Function}} acts what the settings do
     */
    constructor(user, about, acts) {
        this.user = user;
        this.about = about;
        this.#acts = acts;
        this.sessions = new Sessions({ edit: (session) => this.edit(session), changed: () => this.retitle() });
        this.outbox = new Outbox(user.id, {
            changed: (session) => {
                if (session === this.chat.conversation?.id) this.chat.changed();
            },
            stored: (session, message) => {
                this.stream.nudge();
                this.chat.stored(session, message);
            },
            told: (entry) => announcer.announce([say(`spoken_${entry.state}`), entry.detail].filter(Boolean).join(' ')),
            expired: (entry) => this.#expired(entry),
            gone: (session) => this.#gone(session),
            written: (entry) => this.chat.saidElsewhere(entry),
            seenTo: (session) => this.chat.seenTo(session),
        });
        this.chat = new Chat(user, about, this.outbox, {
            opened: (id) => {
                history.replaceState(null, '', `/s/${id}`);
                this.sessions.current = id;
            },
            gone: (session) => this.#gone(session),
        });
        this.shell = new Shell({
            user,
            about,
            chat: this.chat.node,
            sessions: this.sessions.node,
            search: () => this.search(),
            fresh: () => this.shell.showSidebar(false),
            edit: () => this.edit(this.sessions.get(this.chat.conversation.id)),
        });
        this.stream = new Stream({
            opened: () => this.#opened(),
            event: (name, data) => this.event(name, data),
            changed: (state) => this.shell.setConnection(state),
            busy: () => this.chat.isBusy,
        });
    }

    /** Puts it on the page. */
    start() {
        document.body.replaceChildren(this.shell.node);
        announcer.mount(document.body);
        window.addEventListener('popstate', this.#route);
        document.addEventListener('click', this.#click);
        document.addEventListener('keydown', this.#key);
        document.addEventListener('visibilitychange', this.#looked);
        this.#timer = setInterval(() => this.#newDay(), DAY_LOOK_MS);
        this.#route();
        this.outbox.start();
        this.stream.start();
    }

    /** Ends it. */
    end() {
        this.stream.stop();
        this.outbox.end();
        this.chat.end();
        clearInterval(this.#timer);
        window.removeEventListener('popstate', this.#route);
        document.removeEventListener('click', this.#click);
        document.removeEventListener('keydown', this.#key);
        document.removeEventListener('visibilitychange', this.#looked);
        document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
    }

    /** Takes in an event of the stream. */
    event(name, data) {
        this.chat.event(name, data);
        if (name === 'session') {
            this.sessions.event(data);
            if (data.change === 'deleted') this.#gone(data.session_id);
        }
        if (document.hidden && (name === 'done' || name === 'failed')) {
            this.#hasNews = true;
            this.retitle();
        }
    }

    /** Opens an address of the page; with a note, in the place of one that leads nowhere. */
    go(path, note = '') {
        if (note) history.replaceState(null, '', path);
        else history.pushState(null, '', path);
        this.#route();
        if (note) announcer.announce(note);
        this.shell.tell(note);
    }

    search() {
        if (document.querySelector('dialog[open]')) return;
        search((path) => this.go(path));
    }

    edit(session) {
        if (!session) return;
        const path = `/api/v1/sessions/${session.id}`;
        sessionMenu({
            title: session.title,
            rename: async (title) => {
                const renamed = await call('PATCH', path, { title });
                this.sessions.event({ session_id: session.id, change: 'renamed', session: renamed });
            },
            remove: () =>
                confirm({
                    title: say('delete_session'),
                    text: say('delete_session_sure', { title: titleOf(session) }),
                    action: say('delete_session'),
                    act: () => this.#delete(session.id, path),
                }),
        });
    }

    /** The title of what is open may have come or changed. The window's says no word of it: browsers keep those. */
    retitle() {
        if (!this.shell) return;
        document.title = `${this.#hasNews ? '● ' : ''}${this.#isSettings ? `${say('settings')} – bondhu` : 'bondhu'}`;
        if (this.#isSettings) return;
        const { conversation } = this.chat;
        const session = conversation ? this.sessions.get(conversation.id) : undefined;
        this.shell.setSession(session);
        this.shell.showChat(conversation === null ? 'bondhu' : session ? titleOf(session) : say('session'));
    }

    get #isSettings() {
        return location.pathname === '/settings';
    }

    #opened() {
        this.outbox.wake();
        this.chat.resync();
        this.sessions.refresh().catch(() => {}); // The next stream asks again.
        const told = (words) => {
            this.shell.seen.textContent = words;
        };
        call('GET', '/api/v1/replies').then(
            (replies) => told(whoSees(replies)),
            () => told(say('seen_unknown')),
        );
    }

    async #delete(id, path) {
        this.#deleting.add(id);
        try {
            await call('DELETE', path);
        } catch (error) {
            this.#deleting.delete(id);
            throw error;
        }
        this.sessions.event({ session_id: id, change: 'deleted' });
        this.#gone(id);
    }

    /** A session is not there any more. What was written for it waits in the box of a new one, which is told. */
    #gone(id) {
        const wasOpen = this.chat.conversation?.id === id;
        const isKept = this.chat.forget(id);
        const note = say(isKept ? 'session_gone_kept' : 'session_gone');
        if (wasOpen && !this.#isSettings) this.go('/', this.#deleting.has(id) ? '' : note);
        else if (isKept) this.#tell(note);
    }

    #tell(note) {
        this.shell.tell(note);
        announcer.announce(note);
    }

    /** Too old to be sent under its key: it goes back to a box, where the user decides. */
    #expired(entry) {
        const box = entry.makes ? 'new' : entry.session;
        setDraft(this.user.id, box, [entry.content, draft(this.user.id, box)].filter(Boolean).join('\n'));
        this.#tell(say('expired'));
    }

    #looked = () => {
        if (document.hidden) return;
        this.#hasNews = false;
        this.retitle();
        this.#newDay();
    };

    #newDay() {
        this.sessions.redraw();
        this.chat.changed();
    }

    #route = () => {
        const [, session] = /^\/s\/([^/]+)$/.exec(location.pathname) ?? [];
        this.shell.showSidebar(false);
        this.shell.tell('');
        if (this.#isSettings) return this.#showSettings();
        // The server takes an id in capitals, and tells of it in small letters.
        const id = session?.toLowerCase() ?? null;
        this.sessions.current = id;
        this.chat.open(id, Number.parseInt(location.hash.slice(1), 10) || undefined);
        if (id !== null) this.sessions.find(id);
        this.retitle();
        // On a touch screen the box would bring its keyboard up.
        if (!location.hash) (matchMedia('(hover: hover)').matches ? this.chat.composer : this.shell.title).focus();
        return undefined;
    };

    #showSettings() {
        this.sessions.current = null;
        this.shell.setSession(undefined);
        const acts = {
            ...this.#acts,
            signOut: () => this.#signOut(),
            language: (tag) => this.#acts.language(tag).catch((error) => this.shell.tell(wordsOf(error))),
        };
        this.shell.showSettings(settings(this.user, this.about, acts), say('settings'));
        this.retitle();
        this.shell.title.focus();
    }

    /** Whoever signs out leaves nothing behind; where that would lose something, they are asked. */
    #signOut() {
        const n = this.outbox.entries.length;
        const act = () => this.#acts.signOut();
        if (n === 0) return act().catch((error) => this.shell.tell(wordsOf(error)));
        return confirm({ title: say('sign_out'), text: say('unsent_sure', { n }), action: say('sign_out'), act });
    }

    /** Links to addresses of the page open in it. */
    #click = (event) => {
        const link = event.target.closest?.('a[href]');
        if (!link || link.target || link.hasAttribute('download') || event.defaultPrevented) return;
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        const url = new URL(link.href);
        if (url.origin !== location.origin || !/^\/($|s\/|settings$)/.test(url.pathname)) return;
        event.preventDefault();
        this.go(url.pathname + url.hash);
    };

    #key = (event) => {
        if (event.isComposing || event.keyCode === 229 || document.querySelector('dialog[open]')) return;
        const control = event.ctrlKey || event.metaKey;
        const key = event.key.toLowerCase();
        const isWriting = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
        const act = this.#keyed(key, control, event.shiftKey, isWriting);
        if (!act) return;
        event.preventDefault();
        act();
    };

    #keyed(key, control, shift, isWriting) {
        if (control && key === 'k') return () => this.search();
        if (control && shift && key === 'o') return () => this.go('/');
        if (control && key === '/') return keys;
        if (key === 'escape') return () => this.#escape();
        if (control || isWriting) return null; // Both of these can begin a message.
        if (key === '/') return () => this.search();
        return key === '?' ? keys : null;
    }

    #escape() {
        if (this.shell.isSidebarShown) {
            this.shell.showSidebar(false);
            this.shell.toggle.focus();
        } else if (!this.#isSettings) this.chat.stop();
    }
}
