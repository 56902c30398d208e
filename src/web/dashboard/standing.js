// How things stand: the state of the server's parts, the most important figures, and the alerts.

import { element } from './element.js';
import { figure, moment, NONE, number, span } from './figures.js';
import { facts, grid, section } from './grid.js';

const UPSTREAMS = { closed: 'working', open: 'failing', 'half-open': 'being tried again' };

/** The state of the rules: what is wrong first. */
const RANKS = ['firing', 'pending', 'ok'];

export class Standing {
    #state = element('p', { id: 'state', class: 'state', role: 'status' });
    #alerts = element('ul', { class: 'alerts', 'aria-label': 'Alerts' });
    #tiles = element('div', { class: 'tiles' });
    #rules;
    #notices;
    #told = '';

    constructor() {
        const { node } = section('now', 'Now', this.#state);
        this.#rules = grid(
            'Rules of alerts',
            [
                ['Rule', ({ rule }) => element('code', {}, rule)],
                ['State', ({ state, since }) => (since ? `${state} since ${moment(since)}` : state)],
                ['Value', ({ value, unit }) => measured(value, unit)],
                ['Limit', ({ limit, unit, lasting_ms: ms }) => `${measured(limit, unit)} for ${span(ms / 1000)}`],
                ['Meaning', ({ about }) => about],
            ],
            { empty: 'No rule is on.' },
        );
        this.#notices = grid(
            'What alerts said lately',
            [
                ['When', ({ at }) => moment(at)],
                ['Rule', ({ rule }) => element('code', {}, rule)],
                ['Change', ({ state }) => state],
                ['What', ({ summary }) => summary],
            ],
            { empty: 'No alert has fired or ended since the start.' },
        );
        node.append(
            this.#alerts,
            this.#tiles,
            element(
                'details',
                { id: 'rules' },
                element('summary', {}, 'Rules of alerts, and what they said lately'),
                this.#rules.node,
                element('h3', {}, 'Lately'),
                this.#notices.node,
            ),
        );
        this.node = node;
    }

    /**
     * @param {object} now as the monitor tells it
     * @param {object | null} ready the answer of `/ready`
     */
    show(now, ready) {
        this.#showState(now, ready);
        const wrong = now.alerts.filter(({ state }) => state !== 'ok');
        this.#alerts.replaceChildren(
            ...sorted(wrong).map((alert) => element('li', { class: alert.state }, words(alert))),
        );
        this.#alerts.hidden = wrong.length === 0;
        this.#tiles.replaceChildren(facts(tiles(now, ready)));
        this.#rules.fill(sorted(now.alerts));
        this.#notices.fill(now.notices);
    }

    #showState({ alerts }, ready) {
        const isReady = ready?.status === 'ready';
        const firing = alerts.filter(({ state }) => state === 'firing').length;
        const store = ready?.parts.store ?? 'unknown';
        const fired = `${number(firing)} ${firing === 1 ? 'alert fires' : 'alerts fire'}`;
        const parts = [isReady ? 'Ready' : `Not ready: ${store}`, firing > 0 ? fired : 'no alert'];
        const told = parts.join(', ');
        // It is spoken whenever it is set.
        if (told === this.#told) return;
        this.#told = told;
        this.#state.textContent = told;
        this.#state.className = `state ${isReady && firing === 0 ? 'fine' : 'wrong'}`;
    }
}

function sorted(alerts) {
    return [...alerts].sort((a, b) => RANKS.indexOf(a.state) - RANKS.indexOf(b.state));
}

function words({ rule, state, since, value, limit, unit, about }) {
    const verb = state === 'firing' ? 'fires' : 'is pending';
    return [
        element('strong', {}, `${rule} ${verb}`),
        ` since ${moment(since)}: ${measured(value, unit)}, limit ${measured(limit, unit)}. ${about}`,
    ];
}

function measured(value, unit) {
    if (value === null) return NONE;
    if (unit === 'percent') return `${number(value)}\u00a0%`;
    if (unit === 'milliseconds') return figure(value / 1000, 's');
    return value > 0 ? 'failed' : 'fine';
}

function tiles({ sample, bounds }, ready) {
    const told = (column, unit) => figure(sample?.[column], unit);
    const upstreams = ready?.parts.upstreams?.map((state) => UPSTREAMS[state] ?? state);
    return [
        ['Users', told('users', 'count')],
        ['Sessions', told('sessions', 'count')],
        ['Connections', told('connections', 'count')],
        ['Event streams', told('streams', 'count')],
        ['Requests', told('requests_per_s', 'per_s')],
        ['Latency, p95', told('request_p95_s', 's')],
        ['Turns running', told('turns_running', 'count')],
        ['CPU', told('cpu_ratio', 'ratio')],
        ['Memory', told('memory_bytes', 'bytes')],
        ['Disk free', shareOf(sample?.disk_free_bytes, bounds.disk_bytes)],
        ['Store', ready?.parts.store ?? 'unknown'],
        ['Models', upstreams?.join(', ') || 'built in'],
    ];
}

function shareOf(value, all) {
    if (value === null || value === undefined) return NONE;
    return all
        ? `${figure(value, 'bytes')} (${figure(Math.round((value / all) * 100) / 100, 'ratio')})`
        : figure(value, 'bytes');
}
