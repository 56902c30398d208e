// What the cache holds, and emptying it.

import { call, wordsOf } from './api.js';
import { element } from './element.js';
import { figure } from './figures.js';
import { grid, section } from './grid.js';

const CALL = '/api/v1/admin/cache';

export class Cache {
    #section;
    #table = grid(
        'What the cache holds',
        [
            ['What', ({ name }) => element('code', {}, name)],
            ['Entries', ({ entries }) => figure(entries, 'count')],
            ['Size', ({ bytes }) => figure(bytes, 'bytes')],
            ['Hits', ({ hits }) => figure(hits, 'count')],
            ['Misses', ({ misses }) => figure(misses, 'count')],
            ['Hit rate', ({ hits, misses }) => figure(hits + misses > 0 ? hits / (hits + misses) : null, 'ratio')],
        ],
        { empty: 'It is empty.' },
    );
    /** The server has no such call: it is asked once. */
    #isMissing = false;

    constructor() {
        const clear = element('button', { type: 'button', onclick: () => this.#clear() }, 'Clear the cache');
        this.#section = section('cache', 'Cache', clear);
        this.node = this.#section.node;
        this.node.hidden = true;
        this.node.append(this.#table.node);
    }

    /** Asks for the figures. A server without that call has none to show. */
    async refresh() {
        if (this.#isMissing) return;
        try {
            this.#fill(await call('GET', CALL));
            this.node.hidden = false;
        } catch (error) {
            if (error.status !== 404) throw error;
            this.#isMissing = true;
        }
    }

    #fill(held) {
        const kinds = Object.entries(held).filter(([, kind]) => typeof kind === 'object' && kind !== null);
        this.#table.fill(kinds.map(([name, kind]) => ({ name, ...kind })));
    }

    async #clear() {
        try {
            const held = await call('DELETE', CALL);
            const bytes = Object.values(held).reduce((sum, kind) => sum + (kind?.bytes ?? 0), 0);
            this.#section.tell(`Cleared: ${figure(bytes, 'bytes')}. It fills again as things are read.`);
            await this.refresh();
        } catch (error) {
            this.#section.tell(wordsOf(error));
        }
    }
}
