// The list of sessions: newest activity first, kept up to date by events, with more on demand.

import { call, wordsOf } from './api.js';
import { shortTime } from './dates.js';
import { element } from './element.js';
import { say } from './language.js';

const PAGE = 50;

/** What a session is called. */
export function titleOf(session) {
    return session.title ?? say('untitled');
}

/** The sidebar's list. */
export class Sessions {
    /** @type {Map<string, object>} */
    #known = new Map();
    #next = null;
    #current = null;
    #unread = new Set();
    #listeners;
    #rows = new Map();
    /** Events that came while the list was being read. @type {object[] | null} */
    #waiting = null;

    /** @param {{edit: Function, changed: Function}} listeners `edit(session)` opens a session's menu; `changed()` */
    constructor(listeners) {
        this.#listeners = listeners;
        this.list = element('ul', { id: 'sessions' });
        this.more = element(
            'button',
            { type: 'button', class: 'more', hidden: true, onclick: () => this.#loadMore() },
            say('more_sessions'),
        );
        this.empty = element('p', { class: 'hint', hidden: true }, say('no_sessions'));
        this.node = element('div', { class: 'session-list' }, this.list, this.empty, this.more);
    }

    /** What is known of a session. */
    get(id) {
        return this.#known.get(id);
    }

    /** Marks the session that is open. */
    set current(id) {
        this.#current = id;
        this.#unread.delete(id);
        this.#draw();
    }

    /** Reads the newest sessions; at the beginning, and after every reconnection. Events that come meanwhile are newer. */
    async refresh() {
        this.#waiting ??= [];
        const { sessions, next } = await call('GET', `/api/v1/sessions?limit=${PAGE}`).catch((error) => {
            this.#settle();
            throw error;
        });
        const isFirst = this.#known.size === 0;
        const oldest = sessions.at(-1)?.updated_at ?? '';
        // What is newer than the page's end and not in it has been deleted.
        for (const session of this.#known.values()) {
            if (next === null || session.updated_at >= oldest) this.#known.delete(session.id);
        }
        for (const session of sessions) this.#known.set(session.id, session);
        if (isFirst || next === null) this.#next = next;
        this.#settle();
    }

    /** Reads a session that is not listed yet: an old one, opened by its address. */
    async find(id) {
        if (this.#known.has(id)) return;
        const session = await call('GET', `/api/v1/sessions/${id}`).catch(() => null); // Whoever opens it says why.
        if (session === null) return;
        this.#known.set(id, session);
        this.#draw();
    }

    /** Takes in an event of the stream. */
    event(event) {
        if (this.#waiting) this.#waiting.push(event);
        this.#apply(event);
        this.#draw();
    }

    /** Brings what is shown up to date: a new day has begun. */
    redraw() {
        this.#draw();
    }

    #settle() {
        for (const event of this.#waiting ?? []) this.#apply(event);
        this.#waiting = null;
        this.#draw();
    }

    #apply({ session_id: id, change, session }) {
        if (change === 'deleted') this.#known.delete(id);
        else if (session) {
            if (change === 'activity' && id !== this.#current) this.#unread.add(id);
            this.#known.set(id, { ...this.#known.get(id), ...session });
        }
    }

    async #loadMore() {
        this.more.disabled = true;
        try {
            const path = `/api/v1/sessions?limit=${PAGE}&cursor=${encodeURIComponent(this.#next)}`;
            const { sessions, next } = await call('GET', path);
            for (const session of sessions) this.#known.set(session.id, session);
            this.#next = next;
            this.#draw();
            if (sessions.length > 0) this.#rows.get(sessions[0].id)?.link.focus();
        } catch (error) {
            this.more.title = wordsOf(error);
        }
        this.more.disabled = false;
    }

    #draw() {
        const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
        const sorted = [...this.#known.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
        let next = this.list.firstChild;
        for (const session of sorted) {
            const { node } = this.#row(session);
            if (node === next) next = next.nextSibling;
            else this.list.insertBefore(node, next);
        }
        for (const [id, { node }] of this.#rows) {
            if (this.#known.has(id)) continue;
            node.remove();
            this.#rows.delete(id);
        }
        focused?.focus(); // A row that was moved has lost the keyboard.
        this.empty.hidden = sorted.length > 0;
        this.more.hidden = this.#next === null;
        this.#listeners.changed();
    }

    #row(session) {
        const row = this.#rows.get(session.id) ?? this.#made(session.id);
        const isCurrent = session.id === this.#current;
        const isUnread = this.#unread.has(session.id);
        const when = shortTime(session.updated_at);
        const look = [session.title, session.updated_at, when, isCurrent, isUnread].join('\n');
        if (row.look === look) return row;
        row.look = look;
        row.link.replaceChildren(
            element('span', { class: 'title', dir: 'auto' }, titleOf(session)),
            element('time', { datetime: session.updated_at }, when),
        );
        if (isUnread)
            row.link.append(element('span', { class: 'unread' }, element('span', { class: 'unseen' }, say('unread'))));
        if (isCurrent) row.link.setAttribute('aria-current', 'page');
        else row.link.removeAttribute('aria-current');
        row.menu.setAttribute('aria-label', say('session_menu', { title: titleOf(session) }));
        return row;
    }

    #made(id) {
        const link = element('a', { href: `/s/${id}` });
        const menu = element(
            'button',
            { type: 'button', class: 'menu', onclick: () => this.#listeners.edit(this.#known.get(id)) },
            '⋯',
        );
        const row = { link, menu, node: element('li', {}, link, menu) };
        this.#rows.set(id, row);
        return row;
    }
}
