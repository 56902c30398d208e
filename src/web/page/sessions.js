// The list of sessions: newest activity first, kept up to date by events, with more on demand.

import { call } from './api.js';
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

    /** @param {{edit: Function, changed: Function}} listeners `edit(session)` opens a session's menu; `changed()` */
    constructor(listeners) {
        this.#listeners = listeners;
        this.list = element('ul', { id: 'sessions' });
        this.more = element('button', { type: 'button', class: 'more', hidden: true, onclick: () => this.#loadMore() }, say('more_sessions'));
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

    /** Reads the newest sessions; at the beginning, and after every reconnection. */
    async refresh() {
        const { sessions, next } = await call('GET', `/api/v1/sessions?limit=${PAGE}`);
        const isFirst = this.#known.size === 0;
        const oldest = sessions.at(-1)?.updated_at ?? '';
        // What is newer than the page's end and not in it has been deleted.
        for (const session of this.#known.values()) {
            if (session.updated_at >= oldest) this.#known.delete(session.id);
        }
        if (next === null) this.#known.clear();
        for (const session of sessions) this.#known.set(session.id, session);
        if (isFirst || next === null) this.#next = next;
        this.#draw();
    }

    /** Takes in an event of the stream. */
    event({ session_id: id, change, session }) {
        if (change === 'deleted') this.#known.delete(id);
        else if (session) {
            if (change === 'activity' && id !== this.#current) this.#unread.add(id);
            this.#known.set(id, { ...this.#known.get(id), ...session });
        }
        this.#draw();
    }

    async #loadMore() {
        const { sessions, next } = await call('GET', `/api/v1/sessions?limit=${PAGE}&cursor=${encodeURIComponent(this.#next)}`);
        for (const session of sessions) this.#known.set(session.id, session);
        this.#next = next;
        const first = sessions[0];
        this.#draw();
        if (first) this.#rows.get(first.id)?.link.focus();
    }

    #draw() {
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
        this.empty.hidden = sorted.length > 0;
        this.more.hidden = this.#next === null;
        this.#listeners.changed();
    }

    #row(session) {
        const row = this.#rows.get(session.id) ?? this.#made(session.id);
        const isCurrent = session.id === this.#current;
        const isUnread = this.#unread.has(session.id);
        const look = [session.title, session.updated_at, isCurrent, isUnread].join('\n');
        if (row.look === look) return row;
        row.look = look;
        row.link.replaceChildren(
            element('span', { class: 'title', dir: 'auto' }, titleOf(session)),
            element('time', { datetime: session.updated_at }, shortTime(session.updated_at)));
        if (isUnread) row.link.append(element('span', { class: 'unread' }, element('span', { class: 'unseen' }, say('unread'))));
        if (isCurrent) row.link.setAttribute('aria-current', 'page');
        else row.link.removeAttribute('aria-current');
        row.menu.setAttribute('aria-label', say('session_menu', { title: titleOf(session) }));
        return row;
    }

    #made(id) {
        const link = element('a', { href: `/s/${id}` });
        const menu = element('button', { type: 'button', class: 'menu', onclick: () => this.#listeners.edit(this.#known.get(id)) }, '⋯');
        const row = { link, menu, node: element('li', {}, link, menu) };
        this.#rows.set(id, row);
        return row;
    }
}
