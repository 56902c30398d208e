// Starts the page, keeps who is signed in, and shows what the address names: a session, a new one, or the settings.

import * as announcer from './announce.js';
import { call, onSignedOut, Problem } from './api.js';
import { Chat } from './chat.js';
import { confirm, keys, session as sessionMenu } from './dialogs.js';
import { element } from './element.js';
import { draft, forget, preference, setDraft, setPreference } from './kept.js';
import { choose, LANGUAGES, load, say } from './language.js';
import { Outbox } from './outbox.js';
import { search } from './search.js';
import { Sessions, titleOf } from './sessions.js';
import { settings } from './settings.js';
import { Shell, whoSees } from './shell.js';
import { signIn } from './sign-in.js';
import { Stream } from './stream.js';

/** Everything of a signed-in user; it ends as a whole. */
class Home {
    constructor(user, about) {
        this.user = user;
        this.about = about;
        this.sessions = new Sessions({ edit: (session) => this.edit(session), changed: () => this.retitle() });
        this.chat = new Chat(user, about, {
            opened: (id) => {
                history.replaceState(null, '', `/s/${id}`);
                this.sessions.current = id;
            },
            gone: () => this.go('/', say('session_gone')),
        });
        this.outbox = new Outbox(user.id, {
            changed: (session) => { if (session === this.chat.conversation?.id) this.chat.changed(); },
            stored: (session, message) => {
                this.stream.nudge();
                this.chat.stored(session, message);
            },
            told: (entry) => announcer.announce([say(`spoken_${entry.state}`), entry.detail].filter(Boolean).join(' ')),
            expired: (entry) => setDraft(user.id, entry.session, [entry.content, draft(user.id, entry.session)].filter(Boolean).join('\n')),
        });
        this.chat.outbox = this.outbox;
        this.shell = new Shell({
            user,
            about,
            sessions: this.sessions.node,
            search: () => this.search(),
            fresh: () => this.shell.showSidebar(false),
            edit: () => this.edit(this.sessions.get(this.chat.conversation.id)),
        });
        this.stream = new Stream({
            opened: () => {
                this.outbox.wake();
                this.chat.resync();
                this.sessions.refresh().catch(() => {});
            },
            event: (name, data) => this.event(name, data),
            changed: (state) => this.shell.setConnection(state),
            busy: () => this.chat.isBusy,
        });
    }

    start() {
        document.body.replaceChildren(this.shell.node);
        announcer.mount(document.body);
        window.addEventListener('popstate', this.#route);
        document.addEventListener('click', this.#click);
        document.addEventListener('keydown', this.#key);
        this.stream.start();
        this.#route();
        call('GET', '/api/v1/replies').then((replies) => { this.shell.seen.textContent = whoSees(replies); }).catch(() => {});
    }

    end() {
        this.stream.stop();
        this.outbox.end();
        window.removeEventListener('popstate', this.#route);
        document.removeEventListener('click', this.#click);
        document.removeEventListener('keydown', this.#key);
        document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
    }

    event(name, data) {
        if (name === 'session') {
            this.sessions.event(data);
            if (data.change === 'deleted' && data.session_id === this.chat.conversation?.id) this.go('/', say('session_gone'));
        }
        this.chat.event(name, data);
        if (document.hidden && (name === 'done' || name === 'failed') && !document.title.startsWith('● ')) document.title = `● ${document.title}`;
    }

    /** Opens an address of the page; with a note, in the place of one that leads nowhere. */
    go(path, note = '') {
        if (note) history.replaceState(null, '', path);
        else history.pushState(null, '', path);
        this.#route();
        if (note) announcer.announce(note);
        this.shell.connection.textContent = note;
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
            rename: async (title) => this.sessions.event({ session_id: session.id, change: 'renamed', session: await call('PATCH', path, { title }) }),
            remove: () => confirm({
                title: say('delete_session'),
                text: say('delete_session_sure', { title: titleOf(session) }),
                action: say('delete_session'),
                act: async () => {
                    await call('DELETE', path);
                    this.sessions.event({ session_id: session.id, change: 'deleted' });
                    if (this.chat.conversation?.id === session.id) this.go('/');
                },
            }),
        });
    }

    /** The title of what is open may have come or changed. */
    retitle() {
        const { conversation } = this.chat;
        if (!this.shell || location.pathname === '/settings') return;
        const session = conversation ? this.sessions.get(conversation.id) : undefined;
        this.shell.edit.hidden = session === undefined;
        this.shell.show(this.chat.node, conversation === null ? 'bondhu' : session ? titleOf(session) : say('session'));
    }

    #route = () => {
        const [, session] = /^\/s\/([^/]+)$/.exec(location.pathname) ?? [];
        this.shell.showSidebar(false);
        if (location.pathname === '/settings') return this.#showSettings();
        this.sessions.current = session ?? null;
        this.chat.open(session ?? null, Number.parseInt(location.hash.slice(1), 10) || undefined);
        this.retitle();
        // On a touch screen the box would bring its keyboard up.
        if (!location.hash) (matchMedia('(hover: hover)').matches ? this.chat.composer : this.shell.title).focus();
        return undefined;
    };

    #showSettings() {
        this.sessions.current = null;
        this.shell.edit.hidden = true;
        this.shell.show(settings(this.user, this.about, {
            language: async (tag) => {
                await choose(tag);
                await begin();
            },
            theme: (name) => {
                setPreference('theme', name);
                applyTheme();
            },
            signOut: () => signOut(this),
            gone: () => {
                history.replaceState(null, '', '/');
                leave(say('account_deleted'));
            },
        }), say('settings'));
        this.shell.title.focus();
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
        const isWriting = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.value !== '';
        const control = event.ctrlKey || event.metaKey;
        if (control && event.key.toLowerCase() === 'k' || event.key === '/' && !control && !isWriting && event.target.tagName !== 'INPUT') {
            event.preventDefault();
            this.search();
        } else if (control && event.shiftKey && event.key.toLowerCase() === 'o') {
            event.preventDefault();
            this.go('/');
        } else if (event.key === '?' && !control && !isWriting && event.target.tagName !== 'INPUT') {
            event.preventDefault();
            keys();
        } else if (event.key === 'Escape') {
            if (this.shell.isSidebarShown) {
                this.shell.showSidebar(false);
                this.shell.toggle.focus();
            } else this.chat.stop();
        }
    };
}

let home = null;
let about = null;

async function signOut(from) {
    try {
        await call('POST', '/api/v1/auth/logout');
    } catch (error) {
        if (!(error instanceof Problem)) return void (from.shell.connection.textContent = say('unreachable'));
    }
    forget(from.user.id);
    history.replaceState(null, '', '/');
    return leave();
}

/** Shows the entrance, after whoever was signed in has left or their login has ended. */
function leave(note, isNew = false) {
    const { user } = home ?? {};
    home?.end();
    home = null;
    if (note !== undefined && user) forget(user.id);
    const chosen = async () => {
        const written = [...document.querySelectorAll('.gate input')].map(({ id, value }) => [id, value]);
        await choose(language.value);
        leave(undefined, document.getElementById('register') !== null);
        for (const [id, value] of written) document.getElementById(id).value = value;
        document.getElementById('language').focus();
    };
    const language = element('select', { id: 'language', 'aria-label': say('language'), onchange: chosen },
        Object.entries(LANGUAGES).map(([tag, name]) => element('option', { value: tag, selected: document.documentElement.lang === tag }, name)));
    const foot = element('footer', { class: 'gate-foot' }, element('p', {}, say('fact_program')), language);
    document.body.replaceChildren(signIn(about, enter, { note, foot, isNew }));
    document.title = 'bondhu';
    announcer.mount(document.body);
    document.querySelector('.gate input').focus();
}

function enter(user) {
    home?.end();
    home = new Home(user, about);
    home.start();
}

async function begin() {
    const user = await call('GET', '/api/v1/auth/me').then((answer) => answer.user, (error) => {
        if (error instanceof Problem && error.status === 401) return null;
        throw error;
    });
    if (user) enter(user);
    else leave();
}

function applyTheme() {
    const theme = preference('theme');
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
}

/** Starts; where the server can't be reached, says so and tries again. */
async function start() {
    applyTheme();
    try {
        await load();
        about = await call('GET', '/api/v1/about');
        onSignedOut(() => { if (home) leave(undefined); });
        await begin();
    } catch (error) {
        const words = say('unreachable') === 'unreachable' ? 'The server can’t be reached; trying again…' : say('unreachable');
        document.body.replaceChildren(element('main', { class: 'gate' }, element('h1', {}, 'bondhu'), element('p', { role: 'status' }, error.detail || words)));
        setTimeout(start, 3000);
    }
}

start();
