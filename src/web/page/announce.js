// What is spoken to those who do not see the page: one sentence at a time, politely.

import { element } from './element.js';

const region = element('div', { 'aria-live': 'polite', class: 'unseen', id: 'announcer' });
/** What was spoken stands in the page for so long, milliseconds: nobody is to find it there, or hear it, later. */
const STAYS_MS = 10000;
/** A long reply is read up to here; the rest is in the conversation. */
const CHARS_MAX = 1000;

/** Puts the place from which sentences are spoken into the page; what was said before is gone. */
export function mount(parent) {
    region.replaceChildren();
    parent.append(region);
}

/** Has `text` spoken. The same words twice are spoken twice. */
export function announce(text) {
    const chars = [...text];
    const sentence = element('p', {}, chars.length > CHARS_MAX ? `${chars.slice(0, CHARS_MAX).join('')}…` : text);
    region.append(sentence);
    setTimeout(() => sentence.remove(), STAYS_MS);
}
