// The configuration as it holds now, reading it again, and the level of the log.

import { call, wordsOf } from './api.js';
import { element } from './element.js';
import { grid, section } from './grid.js';

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

export class Configuration {
    #section;
    #filter = element('input', { id: 'config-filter', type: 'search', autocomplete: 'off', spellcheck: 'false' });
    #level = element(
        'select',
        { id: 'log-level' },
        LEVELS.map((level) => element('option', { value: level }, level)),
    );
    #settings = [];
    #table = grid(
        'Keys and values',
        [
            ['Key', ({ key }) => element('code', {}, key)],
            ['Value', ({ value }) => element('code', { dir: 'auto' }, value)],
            ['Source', ({ source }) => element('span', { dir: 'auto' }, source)],
        ],
        { empty: 'No key has these letters.', scrolls: true },
    );

    constructor() {
        const again = element('button', { type: 'button', onclick: () => this.#reload() }, 'Read again');
        this.#section = section('configuration', 'Configuration', again);
        this.#filter.addEventListener('input', () => this.#fill());
        const set = element('button', { type: 'button', onclick: () => this.#set() }, 'Set');
        this.node = this.#section.node;
        this.node.append(
            element(
                'div',
                { class: 'two' },
                element(
                    'div',
                    { class: 'field' },
                    element('label', { for: 'config-filter' }, 'Only keys and values with'),
                    this.#filter,
                ),
                element(
                    'div',
                    { class: 'field' },
                    element('label', { for: 'log-level' }, 'Level of the log'),
                    element('div', { class: 'joined' }, this.#level, set),
                    element('small', { class: 'hint' }, 'Until the next start.'),
                ),
            ),
            this.#table.node,
        );
    }

    /** Asks for all of it. */
    async refresh() {
        const [{ settings }, { level }] = await Promise.all([
            call('GET', '/api/v1/admin/config'),
            call('GET', '/api/v1/admin/log'),
        ]);
        this.#settings = settings;
        this.#level.value = level;
        this.#fill();
    }

    #fill() {
        const wanted = this.#filter.value.trim().toLowerCase();
        const has = ({ key, value, source }) => `${key} ${value} ${source}`.toLowerCase().includes(wanted);
        this.#table.fill(this.#settings.filter(has));
    }

    async #reload() {
        this.#section.tell('Reading…');
        try {
            const { changed, at_next_start: later } = await call('POST', '/api/v1/admin/reload');
            const told = [
                changed.length > 0
                    ? `Changed: ${changed.join(', ')}.`
                    : 'Read again; nothing that holds now has changed.',
                later.length > 0 ? `At the next start: ${later.join(', ')}.` : '',
            ];
            await this.refresh();
            this.#section.tell(told.filter(Boolean).join(' '));
        } catch (error) {
            this.#section.tell(`The configuration stays as it was. ${wordsOf(error)}`);
        }
    }

    async #set() {
        try {
            const { level } = await call('PUT', '/api/v1/admin/log', { level: this.#level.value });
            this.#section.tell(`The log has lines from ${level} on.`);
        } catch (error) {
            this.#section.tell(wordsOf(error));
        }
    }
}
