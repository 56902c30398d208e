// The conversation on the page: rows in the order of the log, kept up to date one by one, and where the reader stands.
//
// Whoever reads at the end follows it; whoever reads further up is not moved, whatever happens above or below.

import { dayName } from './dates.js';
import { element } from './element.js';
import { say } from './language.js';
import { looks, row, update, words } from './message.js';

/** As near to the end as this counts as being there, pixels. */
const NEAR_END = 64;
/** Older and newer messages are asked for when their end is this near, pixels. */
const NEAR_EDGE = 800;
/** As many new rows are made in one frame. */
const ROWS_A_FRAME = 20;

/** The log's part of the page. */
export class Log {
    #rows = new Map();
    #listeners;
    #follows = true;
    /** The last message of the log has its row: where the rows end, the log ends. */
    #hasEnd = true;
    #frame = 0;
    #items = [];
    #scrolled = 0;

    /**
     * @param {{act: Function, older: Function, newer: Function, latest: Function}} listeners `act(action, item)`;
     *     `older()` and `newer()` when the reader comes near what is not there yet; `latest()` for the way to the end
     */
    constructor(listeners) {
        this.#listeners = listeners;
        this.rows = element('div', { class: 'rows' });
        this.node = element(
            'div',
            { id: 'log', role: 'log', 'aria-live': 'off', tabindex: 0, 'aria-label': say('conversation') },
            this.rows,
        );
        this.latest = element(
            'button',
            {
                id: 'latest',
                type: 'button',
                hidden: true,
                onclick: () => this.#jump(),
            },
            say('jump_to_latest'),
        );
        this.node.addEventListener('scroll', () => this.#moved(), { passive: true });
        new ResizeObserver(() => {
            if (this.#follows) this.#scrollToEnd();
        }).observe(this.node);
    }

    /** Shows these places, and whether there is more above and below. */
    show(items, { hasOlder, atEnd, isBusy }) {
        this.more = { hasOlder, atEnd };
        this.#hasEnd &&= atEnd;
        this.node.setAttribute('aria-busy', String(isBusy));
        this.#items = items;
        if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
    }

    /** Draws what is waiting to be drawn, now. */
    flush() {
        if (this.#frame !== 0) this.#draw(Infinity);
    }

    /** Goes to the end of the log, and stays with it. */
    toEnd() {
        this.#follows = true;
        if (this.more?.atEnd === false) this.#listeners.latest();
        this.flush();
        this.#scrollToEnd();
        this.#tellPlace();
    }

    /** The button goes once the reader is there, and must not take the keyboard with it. */
    #jump() {
        this.node.focus({ preventScroll: true });
        this.toEnd();
    }

    /** Brings a message into view, and marks it; false where it is not there. */
    toMessage(seq) {
        this.flush();
        this.rows.querySelector('.found')?.classList.remove('found');
        const node = this.rows.querySelector(`[data-seq="${seq}"]`);
        if (!node) return false;
        this.#follows = false;
        node.tabIndex = -1;
        node.classList.add('found');
        node.scrollIntoView({ block: 'center' });
        node.focus({ preventScroll: true });
        this.#tellPlace();
        return true;
    }

    /** Forgets all rows: another session is to be shown. */
    clear() {
        this.#rows.clear();
        this.rows.replaceChildren();
        this.#follows = true;
    }

    /** Draws a part in each frame: whoever scrolls must not wait for many rows at once. */
    #draw(rowsMax = ROWS_A_FRAME) {
        cancelAnimationFrame(this.#frame);
        this.#frame = 0;
        const anchor = this.#follows ? null : this.#anchor();
        const wanted = new Map(this.#items.map((item) => [item.key, item]));
        for (const [key, shown] of this.#rows) {
            if (wanted.has(key)) continue;
            shown.node.remove();
            this.#rows.delete(key);
        }
        const next = this.#next(rowsMax);
        let follower = null;
        for (const item of [...wanted.values()].reverse()) {
            if (!this.#rows.has(item.key) && !next.has(item)) continue;
            const node = this.#row(item);
            if (node.nextSibling !== follower || !node.isConnected) this.rows.insertBefore(node, follower);
            follower = node;
        }
        if (this.#follows) this.#scrollToEnd();
        else if (anchor) this.#hold(anchor);
        if (next.size === rowsMax) {
            this.#frame = requestAnimationFrame(() => this.#draw());
        } else {
            this.#hasEnd = this.more.atEnd;
            this.#moved();
        }
    }

    /** The items that get their row now: from the end upwards, or what is next to the rows of who reads further up. */
    #next(rowsMax) {
        const isNew = (item) => !this.#rows.has(item.key);
        const known = this.#follows ? -1 : this.#items.findLastIndex((item) => !isNew(item));
        const below = known < 0 ? [] : this.#items.slice(known + 1);
        const above = this.#items.slice(0, this.#items.length - below.length).reverse();
        return new Set([...below, ...above].filter(isNew).slice(0, rowsMax));
    }

    /** The item's row: what it was, brought up to date, or a new one. */
    #row(item) {
        const known = this.#rows.get(item.key);
        if (item.day !== undefined) {
            const name = dayName(item.day);
            const node = known?.node ?? element('h3', { class: 'day' });
            if (node.textContent !== name) node.textContent = name;
            this.#rows.set(item.key, { node });
            return node;
        }
        const look = looks(item);
        if (known === undefined) {
            const node = row(item, this.#listeners.act);
            this.#rows.set(item.key, { node, look, content: item.content });
            return node;
        }
        if (known.look !== look) update(known.node, item, this.#listeners.act);
        else if (known.content !== item.content) words(known.node, item);
        known.look = look;
        known.content = item.content;
        return known.node;
    }

    /** The first message that is in view, and where it is. The heading of a day moves up to what comes before. */
    #anchor() {
        const top = this.node.getBoundingClientRect().top;
        for (const node of this.rows.querySelectorAll('.message')) {
            const box = node.getBoundingClientRect();
            if (box.bottom > top) return { node, top: box.top };
        }
        return null;
    }

    #hold({ node, top }) {
        if (!node.isConnected) return;
        const moved = node.getBoundingClientRect().top - top;
        if (Math.abs(moved) >= 1) this.node.scrollTop += moved;
    }

    #scrollToEnd() {
        this.node.scrollTop = this.node.scrollHeight;
        this.#scrolled = this.node.scrollTop;
    }

    /** The reader moved, or the log under them. */
    #moved() {
        const { scrollTop, scrollHeight, clientHeight } = this.node;
        const toEnd = scrollHeight - clientHeight - scrollTop;
        // Only who scrolls up leaves the end: text that grows under the reader must not be taken for that.
        if (scrollTop < this.#scrolled - 1 && toEnd > NEAR_END) this.#follows = false;
        else if (toEnd <= NEAR_END && this.#hasEnd) this.#follows = true;
        this.#scrolled = scrollTop;
        if (this.#frame !== 0) return this.#tellPlace();
        if (scrollTop < NEAR_EDGE && this.more?.hasOlder) this.#listeners.older();
        if (toEnd < NEAR_EDGE && this.more?.atEnd === false) this.#listeners.newer();
        return this.#tellPlace();
    }

    #tellPlace() {
        const isAway = !this.#follows;
        if (this.latest.hidden === isAway) this.latest.hidden = !isAway;
    }
}
