// The description of the API as a page: its areas, a filter over all calls, and whose token is shown.

import { Call } from './docs-call.js';
import { Description, worded } from './docs-schema.js';
import { element } from './element.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

const filter = element('input', { id: 'filter', type: 'search', autocomplete: 'off', spellcheck: 'false' });
const token = element('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false' });
const count = element('p', { id: 'count', class: 'hint', role: 'status' });
let areas = [];

/** The calls by the first of their tags, in the order of the tags. */
function areasOf(description) {
    const { paths, tags } = description.document;
    const calls = Object.entries(paths).flatMap(([path, item]) =>
        METHODS.filter((method) => item[method]).map(
            (method) => new Call(description, path, method, () => token.value),
        ),
    );
    return tags
        .map(({ name, description: about }) => area(name, about, calls))
        .filter(({ calls: those }) => those.length > 0);
}

function area(name, about, all) {
    const id = `area-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`;
    const calls = all.filter((call) => call.area === name);
    const node = element(
        'section',
        { id, 'aria-labelledby': `${id}-title` },
        element('h2', { id: `${id}-title`, tabindex: '-1' }, name),
        element('p', { class: 'hint' }, worded(about)),
        calls.map((call) => call.node),
    );
    return { name, calls, node, entry: element('li', {}, element('a', { href: `#${id}` }, name)) };
}

/** Shows the calls that have all of the words. */
function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let all = 0;
    for (const { calls, node, entry } of areas) {
        for (const call of calls) call.node.hidden = !call.has(words);
        const here = calls.filter((call) => !call.node.hidden).length;
        node.hidden = here === 0;
        entry.hidden = here === 0;
        shown += here;
        all += calls.length;
    }
    count.textContent = shown === all ? `${all} calls` : `${shown} of ${all} calls`;
}

/** Opens the call, or goes to the area, that the address names. */
function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || target.hidden) return;
    if (target instanceof HTMLDetailsElement) {
        target.open = true;
        target.querySelector('summary').focus({ preventScroll: true });
    } else {
        target.querySelector('h2')?.focus({ preventScroll: true });
    }
    target.scrollIntoView();
}

function field(label, input, hint) {
    return element(
        'div',
        { class: 'field' },
        element('label', { for: input.id }, label),
        input,
        element('small', { class: 'hint' }, hint),
    );
}

function show({ info }, description) {
    areas = areasOf(description);
    document.body.replaceChildren(
        element('a', { class: 'skip', href: '#calls' }, 'To the calls'),
        element(
            'div',
            { class: 'docs' },
            element(
                'header',
                {},
                element('h1', {}, `${info.title} ${info.version}: the API`),
                element('p', {}, worded(info.description)),
                element('p', {}, element('a', { href: '/openapi.json' }, 'openapi.json'), ' is the same for programs.'),
            ),
            element(
                'div',
                { class: 'docs-tools', role: 'search' },
                field('Only calls with', filter, 'Words of paths, summaries, areas, statuses.'),
                field('Token for "Try it"', token, 'Stays in this page; cookies are never sent.'),
                count,
            ),
            element(
                'nav',
                { 'aria-label': 'Areas' },
                element(
                    'ul',
                    {},
                    areas.map(({ entry }) => entry),
                ),
            ),
            element(
                'main',
                { id: 'calls', tabindex: '-1' },
                areas.map(({ node }) => node),
            ),
        ),
    );
    filter.addEventListener('input', sift);
    window.addEventListener('hashchange', follow);
    sift();
    follow();
}

async function start() {
    const response = await fetch('/openapi.json', { credentials: 'omit' });
    if (!response.ok) throw new Error(`The description can't be had: HTTP ${response.status}.`);
    const described = await response.json();
    show(described, new Description(described));
}

start().catch((error) => {
    const sentence = `${error.message} Please reload the page.`;
    document.querySelector('main').append(element('p', { class: 'fault', role: 'alert' }, sentence));
});
