// What is spoken to those who do not see the page: one sentence at a time, politely.

import { element } from './element.js';

const region = element('div', { 'aria-live': 'polite', class: 'unseen', id: 'announcer' });
/** A long reply is read up to here; the rest is in the conversation. */
const CHARS_MAX = 1000;

/** Puts the place from which sentences are spoken into the page. */
export function mount(parent) {
    parent.append(region);
}

/** Has `text` spoken. The same words twice are spoken twice. */
export function announce(text) {
    const sentence = element('p', {}, text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}…` : text);
    region.append(sentence);
    while (region.childElementCount > 3) region.firstElementChild.remove();
}
