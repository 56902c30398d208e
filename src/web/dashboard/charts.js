// All charts, how far back they go, and the time that is pointed at, which is the same for all.

import { Chart } from './chart.js';
import { element } from './element.js';
import { figure, number } from './figures.js';
import { preference, setPreference } from './kept.js';
import { RANGES } from './past.js';

const REMEMBERED = 'dashboard-range';

const CHARTS = [
    {
        id: 'requests',
        title: 'Requests',
        unit: 'per_s',
        lines: [
            ['requests_per_s', 'all'],
            ['client_errors_per_s', 'refused (4xx)'],
            ['errors_per_s', 'errors (5xx)'],
        ],
    },
    {
        id: 'latency',
        title: 'Latency',
        unit: 's',
        lines: [
            ['request_p50_s', 'p50'],
            ['request_p95_s', 'p95'],
            ['request_p99_s', 'p99'],
        ],
    },
    {
        id: 'turns',
        title: 'Turns',
        unit: 'per_s',
        lines: [
            ['turns_answered_per_s', 'answered'],
            ['turns_stopped_per_s', 'stopped'],
            ['turns_failed_per_s', 'failed'],
        ],
    },
    {
        id: 'replies',
        title: 'Replies, p95',
        unit: 's',
        lines: [
            ['first_text_p95_s', 'first text'],
            ['reply_p95_s', 'whole reply'],
            ['slot_wait_p95_s', 'wait for a slot'],
        ],
    },
    {
        id: 'slots',
        title: 'Reply slots',
        unit: 'count',
        lines: [
            ['slots_held', 'held'],
            ['slots_limit', 'limit'],
            ['slots_waiting', 'waiting'],
        ],
    },
    {
        id: 'refusals',
        title: 'Refusals',
        unit: 'per_s',
        lines: [
            ['refused_users_per_s', 'of users (429)'],
            ['refused_all_per_s', 'of all (503)'],
        ],
    },
    { id: 'cache-hits', title: 'Cache hits', unit: 'ratio', lines: [['cache_hits_ratio', 'hits']], reach: 1 },
    { id: 'cache-bytes', title: 'Cache size', unit: 'bytes', lines: [['cache_bytes', 'held']] },
    {
        id: 'people',
        title: 'Connections',
        unit: 'count',
        lines: [
            ['connections', 'connections'],
            ['streams', 'event streams'],
        ],
    },
    {
        id: 'cpu',
        title: 'CPU',
        unit: 'ratio',
        lines: [['cpu_ratio', 'used']],
        note: ({ cores }) => `of ${number(cores)} ${cores === 1 ? 'core' : 'cores'}`,
    },
    {
        id: 'memory',
        title: 'Memory',
        unit: 'bytes',
        lines: [['memory_bytes', 'used']],
        note: ({ memory_bytes: all }) => (all ? `of ${figure(all, 'bytes')}` : ''),
    },
    {
        id: 'disk',
        title: 'Disk free',
        unit: 'bytes',
        lines: [['disk_free_bytes', 'free']],
        note: ({ disk_bytes: all }) => (all ? `of ${figure(all, 'bytes')}` : ''),
    },
];

export class Charts {
    #charts;
    #buttons;
    #view = null;
    #bounds = null;
    #watch = new ResizeObserver(() => this.#draw());

    /** @param {(range: string) => void} ranged is told which range is looked at, at first too */
    constructor(ranged) {
        this.#charts = CHARTS.map((what) => new Chart(what, (time) => this.#point(time)));
        const kept = preference(REMEMBERED);
        const first = Object.hasOwn(RANGES, kept ?? '') ? kept : '1 h';
        this.#buttons = Object.keys(RANGES).map((name) =>
            element(
                'button',
                { type: 'button', 'aria-pressed': String(name === first), onclick: () => this.#choose(name, ranged) },
                name,
            ),
        );
        const grid = element(
            'div',
            { class: 'charts' },
            this.#charts.map((chart) => chart.node),
        );
        this.node = element(
            'section',
            { id: 'charts', 'aria-labelledby': 'charts-title' },
            element(
                'div',
                { class: 'section-head' },
                element('h2', { id: 'charts-title', tabindex: -1 }, 'Figures'),
                element('div', { class: 'ranges', role: 'group', 'aria-label': 'How far back' }, this.#buttons),
            ),
            grid,
        );
        ranged(first);
        this.#watch.observe(grid);
    }

    /**
     * Draws all of them.
     * @param {object | null} view of `Past`
     * @param {object} bounds what the figures are parts of
     */
    draw(view, bounds) {
        this.#view = view;
        this.#bounds = bounds;
        this.#draw();
    }

    /** Ends what watches it. */
    end() {
        this.#watch.disconnect();
    }

    #draw() {
        if (!this.#view) return;
        this.#charts.forEach((chart) => chart.measure());
        this.#charts.forEach((chart) => chart.draw(this.#view, chart.what.note?.(this.#bounds)));
    }

    #point(time) {
        this.#charts.forEach((chart) => chart.point(time));
    }

    #choose(name, ranged) {
        setPreference(REMEMBERED, name);
        this.#buttons.forEach((button) => button.setAttribute('aria-pressed', String(button.textContent === name)));
        this.#view = null;
        ranged(name);
    }
}
