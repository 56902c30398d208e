// Makes elements. The one place of the pages that calls createElement, so that what it refuses exists nowhere.

/** Elements that run, load or redirect something, or that change what an address means. */
const REFUSED_NAMES = new Set([
    'applet',
    'base',
    'embed',
    'frame',
    'frameset',
    'iframe',
    'link',
    'meta',
    'object',
    'portal',
    'script',
    'style',
]);

/** Drawings are made of these: nothing in them loads, links or runs. */
const SHAPES = new Set(['svg', 'g', 'path', 'line', 'rect', 'text']);
const SVG = 'http://www.w3.org/2000/svg';

/** Attributes that carry a document, a style sheet or the place that a form is sent to. */
const REFUSED_ATTRIBUTES = new Set(['action', 'formaction', 'srcdoc', 'style']);

/**
 * Makes an element.
 *
 * @param {string} name The element's name.
 * @param {Object<string, *>} attributes Strings and numbers are set as they are, `true` sets an empty attribute; false,
 *     null and undefined leave it out. A function whose name begins with `on` listens to that event.
 * @param {...*} children Strings, nodes, arrays of them; null, undefined and false are left out.
 * @returns {HTMLElement}
 * @throws {TypeError} If the name or an attribute is one that the page never uses.
 */
export function element(name, attributes = {}, ...children) {
    if (REFUSED_NAMES.has(name.toLowerCase())) {
        throw new TypeError(`the page makes no <${name}>`);
    }
    return filled(document.createElement(name), attributes, children);
}

/**
 * Makes a part of a drawing (SVG); as `element` else.
 * @throws {TypeError} If it is none of the few that the pages draw with.
 */
export function shape(name, attributes = {}, ...children) {
    if (!SHAPES.has(name)) {
        throw new TypeError(`the page draws no <${name}>`);
    }
    return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
    for (const child of children.flat(Infinity)) {
        if (child !== null && child !== undefined && child !== false) {
            made.append(child);
        }
    }
    // Last: an element with `dir="auto"` looks through all its text again for each child that it gets.
    for (const [key, value] of Object.entries(attributes)) {
        setAttribute(made, key, value);
    }
    return made;
}

function setAttribute(made, key, value) {
    const name = key.toLowerCase();
    if (name.startsWith('on') && typeof value === 'function') {
        made.addEventListener(name.slice(2), value);
    } else if (name.startsWith('on') || REFUSED_ATTRIBUTES.has(name)) {
        throw new TypeError(`the page sets no attribute ${key}`);
    } else if (value === true) {
        made.setAttribute(key, '');
    } else if (value !== false && value !== null && value !== undefined) {
        made.setAttribute(key, value);
    }
}
