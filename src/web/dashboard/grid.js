// Tables. On a narrow screen each row becomes a block of its own; what it is for screen readers is said in roles, because
// browsers take a table that is laid out otherwise for none.

import { element } from './element.js';

/**
 * A table that is filled anew whenever its rows have changed; the keyboard stays where it was.
 * @param {string} label
 * @param {[string, (row: object) => (Node | string)][]} columns title and content
 * @param {{empty: string, scrolls?: boolean, isDense?: boolean}} options `empty`: what is said where there is no row;
 *     `scrolls`: it has its own scroll bar where it is long; `isDense`: its cells are short, two fit beside each other
 * @returns {{node: Node, fill: (rows: object[]) => void}}
 */
export function grid(label, columns, { empty, scrolls = false, isDense = false }) {
    const body = element('tbody', { role: 'rowgroup' });
    const head = columns.map(([title]) => element('th', { role: 'columnheader', scope: 'col' }, title));
    const table = element(
        'table',
        { class: isDense ? 'grid dense' : 'grid', role: 'table', 'aria-label': label },
        element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, head)),
        body,
    );
    const none = element('p', { class: 'hint' }, empty);
    const frame = scrolls ? { class: 'scroll', role: 'region', tabindex: 0, 'aria-label': label } : {};
    const node = element('div', {}, element('div', frame, table), none);
    let shown = null;
    const fill = (rows) => {
        const now = JSON.stringify(rows);
        if (now === shown) return;
        shown = now;
        const held = body.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
        body.replaceChildren(...rows.map((row) => element('tr', { role: 'row' }, cells(columns, row))));
        table.hidden = rows.length === 0;
        none.hidden = rows.length > 0;
        if (!held) return;
        const again =
            body.querySelector(`[data-act="${CSS.escape(held)}"]`) ?? node.closest('section')?.querySelector('h2');
        again?.focus();
    };
    fill([]);
    return { node, fill };
}

function cells(columns, row) {
    return columns.map(([title, content]) => element('td', { role: 'cell', 'data-label': title }, content(row)));
}

/** A section of the page, with what it is called, and what it says of what was done in it. */
export function section(id, title, beside = null) {
    const told = element('p', { class: 'note', role: 'status', hidden: true });
    const node = element(
        'section',
        { id, 'aria-labelledby': `${id}-title` },
        element('div', { class: 'section-head' }, element('h2', { id: `${id}-title`, tabindex: -1 }, title), beside),
        told,
    );
    const tell = (words) => {
        told.textContent = words;
        told.hidden = words === '';
    };
    return { node, tell };
}

/** A button that does something with a row; `act` names it, so that the keyboard finds it again. */
export function rowButton(act, words, about, onclick, kind = '') {
    return element(
        'button',
        { type: 'button', class: `small ${kind}`, 'data-act': act, 'aria-label': `${words} ${about}`, onclick },
        words,
    );
}

/** Names and values. */
export function facts(pairs) {
    return element(
        'dl',
        { class: 'facts' },
        pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
    );
}
