// Brings the children of a node from one description to the next, and touches nothing that stayed the same.
//
// A description is a string, for text, or `{ name, attributes, children, held }`. Two strings never stand side by side
// and none is empty, so that a description and the document have the same children in the same order. A description is
// never changed once it is drawn: the same object means the same look.

import { element } from './element.js';

/**
 * Children that may come or go before a node is made anew. An element with `dir="auto"` looks through all its text for
 * each child that comes or goes, and thousands at once would stop the page for a second.
 */
const CHANGED_MAX = 64;

/** What nodes stand for without showing it. */
const held = new WeakMap();

/**
 * Turns the children of `parent` from `before` into `after`.
 *
 * @param {Node} parent
 * @param {Array} before What its children from the `from`th on look like now.
 * @param {Array} after What they are to look like.
 * @param {number} from How many children are left alone.
 */
export function patch(parent, before, after, from = 0) {
    if (before === after) {
        return;
    }
    let node = from === 0 ? parent.firstChild : (parent.childNodes[from] ?? null);
    after.forEach((wanted, index) => {
        const next = node?.nextSibling ?? null;
        if (node === null) {
            parent.append(make(wanted));
        } else if (before[index] !== wanted) {
            patchNode(node, before[index], wanted);
        }
        node = next;
    });
    while (node !== null) {
        const next = node.nextSibling;
        node.remove();
        node = next;
    }
}

/**
 * What the node's description gave it to hold.
 *
 * @param {Node} node
 * @returns {*} Undefined for a node that holds nothing.
 */
export function heldBy(node) {
    return held.get(node);
}

// The kind of the node itself is looked at too: translators and other extensions change the document under the page.
function patchNode(node, before, wanted) {
    if (typeof wanted === 'string' && node.nodeType === Node.TEXT_NODE) {
        patchText(node, wanted);
    } else if (isAlike(before, wanted) && node.localName === wanted.name) {
        hold(node, wanted);
        patch(node, before.children, wanted.children);
    } else {
        node.replaceWith(make(wanted));
    }
}

function patchText(node, wanted) {
    if (wanted.startsWith(node.data)) {
        node.appendData(wanted.slice(node.length)); // Keeps a selection in the text that was there.
    } else {
        node.data = wanted;
    }
}

function isAlike(before, wanted) {
    if (before === undefined || before.name === undefined || before.name !== wanted.name) {
        return false;
    }
    if (Math.abs(before.children.length - wanted.children.length) > CHANGED_MAX) {
        return false;
    }
    const keys = Object.keys(wanted.attributes);
    return (
        keys.length === Object.keys(before.attributes).length &&
        keys.every((key) => before.attributes[key] === wanted.attributes[key])
    );
}

function make(wanted) {
    if (typeof wanted === 'string') {
        return document.createTextNode(wanted);
    }
    const made = element(wanted.name, wanted.attributes, wanted.children.map(make));
    hold(made, wanted);
    return made;
}

function hold(node, wanted) {
    if (wanted.held !== undefined) {
        held.set(node, wanted.held);
    }
}
