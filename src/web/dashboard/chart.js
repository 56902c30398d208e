// One chart: lines over time, what they are now, least and most, and what they were at a time that is pointed at.

import { timeOf } from './dates.js';
import { element, shape } from './element.js';
import { figure, moment, scale, times } from './figures.js';

const HEIGHT = 150;
/** Room for the words at the scales, pixels. */
const ROOM = { left: 58, right: 10, top: 8, bottom: 22 };
/** A time at the lower scale takes so much, pixels. */
const TIME_WIDTH = 76;
/** How far keys go, in points. */
const KEYS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

export class Chart {
    #lines;
    #cells = [];
    #plot;
    #time = element('th', { scope: 'col' }, 'now');
    #note = element('span', { class: 'hint' });
    #mark = shape('line', { class: 'mark', visibility: 'hidden' });
    #view = null;
    #at = null;
    #width = 0;

    /**
     * @param {{id: string, title: string, unit: string, lines: [string, string][], reach?: number}} what `lines`: the
     *     column of each, and what it is called; `reach`: the scale goes up to here at least
     * @param {(time: number | null) => void} pointed is told which time is pointed at
     */
    constructor(what, pointed) {
        this.what = what;
        this.pointed = pointed;
        this.#lines = what.lines.map(([column, name], n) => ({ column, name, kind: `line line-${n + 1}` }));
        this.#plot = element('div', {
            class: 'plot',
            role: 'slider',
            tabindex: 0,
            'aria-label': `${what.title}, at a time`,
            'aria-valuemin': 0,
            'aria-valuemax': 0,
            'aria-valuenow': 0,
            'aria-valuetext': 'nothing yet',
            onkeydown: (event) => this.#key(event),
            onpointermove: (event) => pointed(this.#under(event)),
            onpointerdown: (event) => pointed(this.#under(event)),
            // What is read by keys, or was clicked on, stays until the chart has lost the keyboard.
            onpointerleave: () => {
                if (!document.activeElement?.matches('.plot')) pointed(null);
            },
            onblur: () => pointed(null),
        });
        const id = `chart-${what.id}`;
        this.node = element(
            'section',
            { class: 'chart', id, 'aria-labelledby': `${id}-title` },
            element('h3', { id: `${id}-title` }, what.title, ' ', this.#note),
            this.#plot,
            this.#legend(),
        );
    }

    /** How wide it is on the page, pixels; it is drawn so from the next time on. */
    measure() {
        this.#width = this.#plot.clientWidth;
    }

    /**
     * Draws it.
     * @param {object | null} view of `Past`
     * @param {string} note what the figures are parts of
     */
    draw(view, note = '') {
        this.#view = view;
        this.#note.textContent = note;
        if (!view || this.#width === 0) return;
        const known = this.#lines.flatMap(({ column }) => view.columns[column].filter((value) => value !== null));
        const most = known.reduce((a, b) => Math.max(a, b), this.what.reach ?? 0);
        const lines = scale(most, this.what.unit);
        const place = this.#places(view, lines.at(-1));
        const drawing = shape(
            'svg',
            { viewBox: `0 0 ${this.#width} ${HEIGHT}`, width: this.#width, height: HEIGHT, 'aria-hidden': 'true' },
            lines.map((value) => this.#level(value, place)),
            this.#times(view, place),
            this.#lines.map(({ column, kind }) => [
                shape('path', { class: kind, d: path(view.columns[column], place), 'data-column': column }),
                shape('path', { class: `${kind} dots`, d: dots(view.columns[column], place) }),
            ]),
            this.#mark,
        );
        this.#plot.replaceChildren(drawing);
        this.point(this.#at);
    }

    /** Shows what was at a time; null: what is now. */
    point(time) {
        const view = this.#view;
        this.#at = time;
        if (!view) return;
        const at = time === null ? null : Math.round((time - view.start) / view.step - 0.5);
        const isThere = at !== null && at >= 0 && at < view.points;
        const n = isThere ? at : this.#newest(view);
        this.#time.textContent = isThere ? moment(timeOfPoint(view, n)) : 'now';
        this.#mark.setAttribute('visibility', isThere ? 'visible' : 'hidden');
        const x = this.#places(view, 1).x(n);
        this.#mark.setAttribute('x1', x);
        this.#mark.setAttribute('x2', x);
        this.#mark.setAttribute('y1', ROOM.top);
        this.#mark.setAttribute('y2', HEIGHT - ROOM.bottom);
        this.#lines.forEach(({ column }, line) => this.#tell(line, view.columns[column], n));
        this.#speak(view, n);
    }

    /**
     * The point that is now: the last one that has a figure. The one that runs has none until its first sample, and where
     * samples are rarer than points, neither have most of those before it; further back it would be long ago.
     */
    #newest(view) {
        const last = view.points - 1;
        const first = Math.max(0, last - Math.ceil(view.interval / view.step));
        for (let n = last; n >= first; n -= 1) {
            if (this.#lines.some(({ column }) => view.columns[column][n] !== null)) return n;
        }
        return last;
    }

    #places(view, most) {
        const [width, height] = [this.#width - ROOM.left - ROOM.right, HEIGHT - ROOM.top - ROOM.bottom];
        const moment = (time) => ROOM.left + (Math.max(0, time - view.from) / (view.to - view.from)) * width;
        return {
            moment,
            x: (n) => Math.min(this.#width - ROOM.right, moment(timeOfPoint(view, n))),
            y: (value) => ROOM.top + height - (value / most) * height,
        };
    }

    #level(value, place) {
        const y = place.y(value);
        return shape(
            'g',
            {},
            shape('line', {
                class: value === 0 ? 'ground' : 'level',
                x1: ROOM.left,
                x2: this.#width - ROOM.right,
                y1: y,
                y2: y,
            }),
            shape('text', { x: ROOM.left - 8, y: y + 4, 'text-anchor': 'end' }, figure(value, this.what.unit)),
        );
    }

    #times(view, place) {
        const most = Math.max(2, Math.floor((this.#width - ROOM.left) / TIME_WIDTH));
        return times(view.from, view.to, most)
            .map((time) => [time, place.moment(time)])
            .filter(([, x]) => x > ROOM.left + 20 && x < this.#width - 24)
            .map(([time, x]) => shape('text', { x, y: HEIGHT - 5, 'text-anchor': 'middle' }, timeOf(time)));
    }

    #legend() {
        const rows = this.#lines.map(({ name, kind }) => {
            const cells = [0, 1, 2].map(() => element('td', {}, figure(null)));
            this.#cells.push(cells);
            const sample = shape(
                'svg',
                { class: 'sample', viewBox: '0 0 28 10', width: 28, height: 10, 'aria-hidden': 'true' },
                shape('path', { class: kind, d: 'M1 5H27' }),
            );
            const named = element('span', { class: 'named' }, sample, name);
            return element('tr', {}, element('th', { scope: 'row' }, named), cells);
        });
        const head = element(
            'tr',
            {},
            element('th', { scope: 'col' }, element('span', { class: 'unseen' }, 'figure')),
            this.#time,
            ['min', 'max'].map((name) => element('th', { scope: 'col' }, name)),
        );
        return element(
            'table',
            { class: 'legend' },
            element('caption', { class: 'unseen' }, this.what.title),
            element('thead', {}, head),
            element('tbody', {}, rows),
        );
    }

    #tell(line, values, n) {
        const known = values.filter((value) => value !== null);
        const least = known.length > 0 ? known.reduce((a, b) => Math.min(a, b)) : null;
        const most = known.length > 0 ? known.reduce((a, b) => Math.max(a, b)) : null;
        [values[n], least, most].forEach((value, at) => {
            this.#cells[line][at].textContent = figure(value, this.what.unit);
        });
    }

    /** What is read to who does not see it. */
    #speak(view, n) {
        const told = this.#lines.map(({ column, name }) => {
            const value = view.columns[column][n];
            return `${name} ${value === null ? 'unknown' : figure(value, this.what.unit)}`;
        });
        this.#plot.setAttribute('aria-valuemax', view.points - 1);
        this.#plot.setAttribute('aria-valuenow', n);
        this.#plot.setAttribute('aria-valuetext', `${moment(timeOfPoint(view, n))}: ${told.join(', ')}`);
    }

    /** The time under a pointer. */
    #under(event) {
        const view = this.#view;
        if (!view) return null;
        const part =
            (event.clientX - this.#plot.getBoundingClientRect().left - ROOM.left) /
            (this.#width - ROOM.left - ROOM.right);
        return this.#within(Math.floor((view.from + part * (view.to - view.from) - view.start) / view.step));
    }

    #key(event) {
        const view = this.#view;
        if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
        const now = Number(this.#plot.getAttribute('aria-valuenow'));
        const next = { Home: 0, End: view.points - 1 }[event.key] ?? now + KEYS[event.key];
        if (event.key !== 'Escape' && Number.isNaN(next)) return;
        event.preventDefault();
        this.pointed(event.key === 'Escape' ? null : this.#within(next));
    }

    /** The time of the point nearest to `n` that there is. */
    #within(n) {
        return timeOfPoint(this.#view, Math.min(this.#view.points - 1, Math.max(0, n)));
    }
}

/** The middle of a point, milliseconds since 1970. */
function timeOfPoint(view, n) {
    return view.start + (n + 0.5) * view.step;
}

/** A line through the values; where there is none, it is interrupted. */
function path(values, place) {
    let d = '';
    values.forEach((value, n) => {
        if (value === null) return;
        const isFirst = n === 0 || values[n - 1] === null;
        d += `${isFirst ? 'M' : 'L'}${place.x(n).toFixed(1)} ${place.y(value).toFixed(1)}`;
    });
    return d;
}

/** Dots: at the end of a line, which is now, and where a value stands alone. */
function dots(values, place) {
    const isKnown = (n) => (values[n] ?? null) !== null;
    const isDot = (n) => isKnown(n) && !isKnown(n + 1) && (n === values.length - 1 || !isKnown(n - 1));
    const places = [...values.keys()].filter(isDot);
    return places.map((n) => `M${place.x(n).toFixed(1)} ${place.y(values[n]).toFixed(1)}h0.01`).join('');
}
