// Reads the text of one paragraph, item or cell: emphasis, code, links, line breaks.
//
// The text is cut into tokens, runs of `*`, `_` and `~` are paired, the tokens become a tree: each linear in the text
// whatever it holds. What pairs with nothing stays text.

import { hostBehind } from './links.js';
import { tokensOf } from './markdown-tokens.js';

/** How deep emphasis is nested; deeper marks are shown as they were written. */
const DEPTH_MAX = 12;

/** How many runs may wait for their close; the oldest gives way. It bounds the search for a partner. */
const WAITING_MAX = 32;

/** Reorders text: in code it would make a program look like another one. */
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u;

/** Letters and symbols that are drawn as nothing. */
const FILLERS = /[\u115f\u1160\u2800\u3164\uffa0]/g;

/**
 * Reads a text.
 *
 * @param {string} text
 * @returns {{children: Array, count: number}} Descriptions for `patch`, and how many elements they make.
 */
export function spans(text) {
    const tokens = tokensOf(text);
    pair(tokens);
    return treeOf(tokens);
}

/**
 * Code as it is shown: what would reorder it is spelled out.
 *
 * @param {string} code
 * @returns {string}
 */
export function visibleCode(code) {
    return code.replace(BIDI, (mark) => `[U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}]`);
}

/** Finds the runs that belong together. A link's text is a world of its own. */
function pair(tokens) {
    let waiting = [];
    const outside = [];
    for (const token of tokens) {
        if (token.kind === 'open' && token.link !== null) {
            outside.push(waiting);
            waiting = [];
        } else if (token.kind === 'close') {
            waiting = outside.pop();
        } else if (token.kind === 'run') {
            pairRun(token, waiting);
        }
    }
}

function pairRun(run, waiting) {
    if (run.closes) {
        closeWith(run, waiting);
    }
    if (run.opens && run.left > 0) {
        waiting.push(run);
        if (waiting.length > WAITING_MAX) {
            waiting.shift();
        }
    }
}

function closeWith(run, waiting) {
    let index = waiting.length - 1;
    while (index >= 0 && run.left > 0) {
        const opener = waiting[index];
        if (!fits(opener, run)) {
            index -= 1;
            continue;
        }
        const width = Math.min(2, opener.left, run.left);
        const found = { name: nameOf(run.mark, width), text: run.mark.repeat(width), isDrawn: false };
        opener.opened.push(found);
        run.closed.push(found);
        opener.left -= width;
        run.left -= width;
        waiting.length = opener.left > 0 ? index + 1 : index; // What opened inside and did not close is text.
        index = waiting.length - 1;
    }
}

/** A run that could be either end does not close one with which it makes a multiple of three: `**a*b**`. */
function fits(opener, run) {
    if (opener.mark !== run.mark) {
        return false;
    }
    const isEither = opener.closes || run.opens;
    const isThreefold = (opener.length + run.length) % 3 === 0;
    return !(isEither && isThreefold) || (opener.length % 3 === 0 && run.length % 3 === 0);
}

function nameOf(mark, width) {
    if (mark === '~') {
        return 'del';
    }
    return width === 2 ? 'strong' : 'em';
}

function treeOf(tokens) {
    const tree = { path: [{ children: [] }], count: 0, depth: 0, link: null };
    for (const token of tokens) {
        WRITERS[token.kind](tree, token);
    }
    return { children: tree.path[0].children, count: tree.count };
}

const WRITERS = {
    text: (tree, token) => addText(tree, token.text),
    code: (tree, token) => add(tree, node('code', { dir: 'auto' }, [visibleCode(token.text)])),
    break: (tree) => add(tree, node('br', {}, [])),
    run: writeRun,
    open: writeOpen,
    close: writeClose,
    address: writeAddress,
};

function node(name, attributes, children) {
    return { name, attributes, children };
}

function add(tree, made) {
    tree.path.at(-1).children.push(made);
    tree.count += 1;
}

function addText(tree, text) {
    const { children } = tree.path.at(-1);
    if (typeof children.at(-1) === 'string') {
        children[children.length - 1] += text;
    } else if (text !== '') {
        children.push(text);
    }
}

function writeRun(tree, run) {
    for (const found of run.closed) {
        if (found.isDrawn) {
            tree.path.pop();
            tree.depth -= 1;
        } else {
            addText(tree, found.text);
        }
    }
    addText(tree, run.mark.repeat(run.left));
    for (const found of run.opened.toReversed()) {
        found.isDrawn = tree.depth < DEPTH_MAX;
        if (found.isDrawn) {
            enter(tree, node(found.name, {}, []));
            tree.depth += 1;
        } else {
            addText(tree, found.text);
        }
    }
}

function enter(tree, made) {
    add(tree, made);
    tree.path.push(made);
}

function writeOpen(tree, token) {
    if (token.link === null) {
        addText(tree, token.text);
    } else if (tree.link === null) {
        // A picture in a link is that link's text.
        tree.link = token.link;
        enter(tree, linkTo(token.link));
    }
}

function writeClose(tree, token) {
    if (tree.link === token.link) {
        const made = tree.path.at(-1);
        if (!VISIBLE.test(wordsOf(made).replace(FILLERS, ''))) {
            addText(tree, token.link.url.href);
        }
        showHost(tree, made, token.link);
        tree.path.pop();
        tree.link = null;
    }
}

function writeAddress(tree, token) {
    if (tree.link !== null) {
        addText(tree, token.text);
        return;
    }
    const made = linkTo(token.link);
    enter(tree, made);
    addText(tree, token.text);
    showHost(tree, made, token.link);
    tree.path.pop();
}

function linkTo({ url, title }) {
    const attributes = { href: url.href, rel: 'noopener noreferrer nofollow', target: '_blank' };
    return node('a', title === null ? attributes : { ...attributes, title }, []);
}

function showHost(tree, made, link) {
    const words = wordsOf(made);
    const host = hostBehind(link.title === null ? words : `${words} ${link.title}`, link.url);
    if (host !== null) {
        addText(tree, ' ');
        add(tree, node('span', { class: 'link-host', dir: 'ltr' }, [`(${host})`]));
    }
}

function wordsOf(made) {
    if (typeof made === 'string') {
        return made;
    }
    return made.name === 'br' ? ' ' : made.children.map(wordsOf).join('');
}
