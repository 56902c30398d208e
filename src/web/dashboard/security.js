// Who overstepped lately.

import { call } from './api.js';
import { element } from './element.js';
import { moment } from './figures.js';
import { grid, section } from './grid.js';

export class Security {
    #account;
    #events = grid(
        'Security events, newest first',
        [
            ['When', ({ at }) => element('time', { datetime: at }, moment(at))],
            ['What', ({ kind }) => element('code', {}, kind)],
            ['Account', ({ user_id: id }) => (id ? this.#link(id) : 'unknown')],
            ['From', ({ address }) => address],
            ['Path', ({ path }) => element('code', {}, path)],
        ],
        { empty: 'Nothing since the start.', scrolls: true },
    );

    /** @param {(id: string) => void} account shows an account */
    constructor(account) {
        this.#account = account;
        const { node } = section('security', 'Security events');
        node.append(
            element('p', { class: 'hint' }, 'The newest 200 since the start; the log has all.'),
            this.#events.node,
        );
        this.node = node;
    }

    async refresh() {
        const { events } = await call('GET', '/api/v1/admin/security');
        this.#events.fill(events);
    }

    #link(id) {
        return element(
            'button',
            { type: 'button', class: 'link', 'aria-label': `Account ${id}`, onclick: () => this.#account(id) },
            element('code', {}, id),
        );
    }
}
