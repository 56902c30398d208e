// The frame of who is signed in: the sidebar, the head with what must always be said, and the place for what is open.

import { help } from './dialogs.js';
import { element } from './element.js';
import { say } from './language.js';
import { titleOf } from './sessions.js';

/** How long a lost connection is repaired in silence, milliseconds. */
const SILENT_MS = 2000;

/** Who sees what the user writes, in one line. @param {object} replies what `GET /api/v1/replies` says */
export function whoSees({ backend, servers }) {
    if (backend === 'companion') return say('seen_by_companion');
    const away = servers.filter((server) => !server.local);
    if (away.length === 0) return say('seen_here', { models: servers.map((server) => server.model).join(', ') });
    return say('seen_by', { hosts: away.map(({ host, model }) => `${host} (${model})`).join(', ') });
}

/** The frame. */
export class Shell {
    #timer = 0;
    #chat;

    /**
     * @param {{user: object, about: object, chat: Node, sessions: Node, search: Function, fresh: Function, edit: Function}} parts
     *     `search()`, `fresh()` and `edit()`: what the buttons do
     */
    constructor({ user, about, chat, sessions, search, fresh, edit }) {
        this.#chat = chat;
        this.connection = element('p', { id: 'connection', role: 'status' });
        this.note = element('p', { id: 'note', role: 'status' });
        this.title = element('h1', { id: 'title', dir: 'auto', tabindex: -1 });
        this.seen = element('span', { id: 'who-sees' });
        this.edit = element(
            'button',
            { type: 'button', id: 'edit-session', hidden: true, 'aria-label': say('session'), onclick: edit },
            '⋯',
        );
        this.place = element('div', { class: 'place' }, chat);
        this.toggle = element(
            'button',
            {
                type: 'button',
                id: 'toggle-sessions',
                'aria-label': say('sessions'),
                'aria-expanded': 'false',
                'aria-controls': 'sidebar',
                onclick: () => this.showSidebar(!this.isSidebarShown),
            },
            '☰',
        );
        this.sidebar = element(
            'nav',
            { id: 'sidebar', 'aria-label': say('sessions') },
            element(
                'div',
                { class: 'sidebar-head' },
                element(
                    'a',
                    { href: '/', id: 'new-session', class: 'button primary', onclick: fresh },
                    say('new_session'),
                ),
                element('button', { type: 'button', id: 'open-search', onclick: search }, say('search')),
            ),
            sessions,
            element(
                'a',
                { href: '/settings', id: 'open-settings', dir: 'auto' },
                say('settings_of', { name: user.display_name || user.username }),
            ),
        );
        this.shade = element('div', { class: 'shade', onclick: () => this.showSidebar(false) });
        this.main = element(
            'main',
            { id: 'main', tabindex: -1, 'aria-labelledby': 'title' },
            element(
                'header',
                { class: 'head' },
                this.toggle,
                element(
                    'div',
                    { class: 'head-words' },
                    this.title,
                    element('p', { class: 'who' }, element('span', {}, say('a_program')), ' ', this.seen),
                ),
                this.edit,
                element('button', { type: 'button', id: 'get-help', onclick: () => help(about) }, say('get_help')),
            ),
            this.connection,
            this.note,
            this.place,
        );
        this.node = element(
            'div',
            { class: 'shell' },
            element('a', { class: 'skip', href: '#main', onclick: skip }, say('skip')),
            this.sidebar,
            this.shade,
            this.main,
        );
    }

    /** Shows the conversation, under `title`. It stays in the page while the settings are shown, and so does its place. */
    showChat(title) {
        this.#chat.hidden = false;
        this.place.querySelector('.settings')?.remove();
        this.title.textContent = title;
    }

    /** Shows the settings in the place of the conversation. */
    showSettings(node, title) {
        this.#chat.hidden = true;
        this.place.querySelector('.settings')?.remove();
        this.place.append(node);
        this.title.textContent = title;
    }

    /** The session that the head is about; nothing where there is none that can be renamed or deleted. */
    setSession(session) {
        this.edit.hidden = session === undefined;
        if (session) this.edit.setAttribute('aria-label', say('session_menu', { title: titleOf(session) }));
    }

    /** Says something once, above the conversation; empty: nothing any more. */
    tell(note) {
        if (this.note.textContent !== note) this.note.textContent = note;
    }

    get isSidebarShown() {
        return this.node.classList.contains('with-sidebar');
    }

    /** On a narrow window the sidebar lies over the conversation, and only when it is asked for. */
    showSidebar(isShown) {
        this.node.classList.toggle('with-sidebar', isShown);
        this.toggle.setAttribute('aria-expanded', String(isShown));
        this.main.inert = isShown;
        if (isShown) this.sidebar.querySelector('a')?.focus();
    }

    /** How the connection is; a lost one is repaired in silence at first. */
    setConnection(state) {
        clearTimeout(this.#timer);
        if (state === 'down')
            this.#timer = setTimeout(() => {
                this.connection.textContent = say('reconnecting');
            }, SILENT_MS);
        else this.connection.textContent = '';
    }
}

function skip(event) {
    event.preventDefault();
    (document.getElementById('text') ?? document.getElementById('main')).focus();
}
