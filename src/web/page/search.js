// Search over everything that was said, in all sessions.

import { call, wordsOf } from './api.js';
import { shortTime } from './dates.js';
import { open } from './dialogs.js';
import { element } from './element.js';
import { say } from './language.js';
import { speaker } from './message.js';

/** The search begins when nothing was typed for so long, milliseconds. */
const PAUSE_MS = 250;
/** The newest so many are shown. */
const LIMIT = 100;

/**
 * Opens the search. `go(path)` opens what was found.
 * @param {(path: string) => void} go
 */
export function search(go) {
    let timer = 0;
    let asked = 0;
    const status = element('p', { class: 'hint', role: 'status' });
    const list = element('ul', { class: 'hits' });
    const field = element('input', {
        id: 'search-text',
        type: 'text',
        role: 'searchbox',
        enterkeyhint: 'search',
        name: 'search',
        'aria-label': say('search'),
        placeholder: say('search_placeholder'),
        autocomplete: 'off',
        dir: 'auto',
        maxlength: 500,
        oninput: () => {
            clearTimeout(timer);
            timer = setTimeout(find, PAUSE_MS);
        },
    });
    const find = async () => {
        clearTimeout(timer);
        asked += 1;
        const mine = asked;
        const text = field.value;
        if (text.trim() === '') {
            list.replaceChildren();
            status.textContent = '';
            return;
        }
        status.textContent = say('searching');
        try {
            const { hits, total } = await call('POST', '/api/v1/search', { text, limit: LIMIT });
            if (mine !== asked) return;
            list.replaceChildren(
                ...hits.map((hit) =>
                    row(hit, text, (path) => {
                        dialog.close();
                        go(path);
                    }),
                ),
            );
            status.textContent = say(hits.length < total ? 'found_newest' : 'found', { n: total, shown: hits.length });
        } catch (error) {
            if (mine === asked) status.textContent = wordsOf(error);
        }
    };
    const form = element(
        'form',
        {
            role: 'search',
            onsubmit: (event) => {
                event.preventDefault();
                find();
            },
        },
        field,
    );
    const dialog = open(say('search'), [form, status, list], { id: 'search-dialog' });
    dialog.addEventListener('keydown', (event) => step(event, [field, ...list.querySelectorAll('a')]));
    field.focus();
}

/** ↓ and ↑ go from the field through what was found, and back. */
function step(event, places) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || event.isComposing || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = places.indexOf(document.activeElement);
    const next = at < 0 ? undefined : places[at + way];
    if (!next) return;
    event.preventDefault();
    next.focus();
}

function row(hit, text, go) {
    const href = `/s/${hit.session_id}#${hit.seq}`;
    const link = element(
        'a',
        {
            href,
            onclick: (event) => {
                event.preventDefault();
                event.stopPropagation();
                go(href);
            },
        },
        element('span', { class: 'title', dir: 'auto' }, hit.title ?? say('untitled')),
        element('span', { class: 'when' }, `${speaker(hit.role)} · ${shortTime(hit.created_at)}`),
        element('span', { class: 'excerpt', dir: 'auto' }, marked(hit.excerpt ?? '', text)),
    );
    return element('li', {}, link);
}

/**
 * The excerpt with the places marked that have the text, as far as simple letters go. Places are those of the excerpt as it
 * was written: its line breaks show as spaces because nothing in the style keeps them.
 */
function marked(excerpt, text) {
    const parts = [];
    const lower = excerpt.toLowerCase();
    const sought = text.trim().toLowerCase();
    // Nothing is found everywhere, without end. Where lower case has another length, places can't be told apart. The
    // excerpt then stands there unmarked.
    if (sought === '' || lower.length !== excerpt.length) return [excerpt];
    let from = 0;
    for (let at = lower.indexOf(sought); at >= 0; at = lower.indexOf(sought, from)) {
        parts.push(excerpt.slice(from, at), element('mark', {}, excerpt.slice(at, at + sought.length)));
        from = at + sought.length;
    }
    return [...parts, excerpt.slice(from)];
}
