// The words of the interface, in the user's language. They are data: `words.LANGUAGE.json`, one file a language.

import { Unreachable } from './failure.js';
import { preference, setPreference } from './kept.js';

/** The languages that there are, each by its own name. */
export const LANGUAGES = { en: 'English', bn: 'বাংলা', hi: 'हिन्दी' };

let language = 'en';
let words = {};
let plural = new Intl.PluralRules('en');

/** The language of the interface, as a tag. */
export function current() {
    return language;
}

/** The locale for dates and numbers: the browser's own where its language is the page's. */
export function locale() {
    return navigator.languages.find((tag) => tag.split('-')[0] === language) ?? language;
}

/** Loads the words: of the language that was chosen, else of the first that the browser asks for and that there is. */
export async function load(chosen = preference('language')) {
    const asked = [chosen, ...navigator.languages].filter(Boolean).map((tag) => tag.split('-')[0]);
    const tag = asked.find((known) => Object.hasOwn(LANGUAGES, known)) ?? 'en';
    words = await read(tag);
    language = tag;
    plural = new Intl.PluralRules(tag);
    document.documentElement.lang = tag;
}

/** Chooses a language; null: the browser's. Where its words can't be had, all stays as it was. */
export async function choose(tag) {
    await load(tag);
    setPreference('language', tag);
}

async function read(tag) {
    let response;
    try {
        response = await fetch(new URL(`words.${tag}.json`, import.meta.url));
    } catch (error) {
        throw new Unreachable(error.message);
    }
    // The files of an older page are gone with the server that had them.
    if (response.status === 404) location.reload();
    if (!response.ok) throw new Unreachable(`no words for ${tag}`);
    return response.json();
}

/**
 * The words for `key`, with `{name}` replaced by the value of that name. Where the words depend on a number, `n` chooses.
 * @param {string} key
 * @param {object} [values]
 */
export function say(key, values = {}) {
    const found = words[key];
    const text = typeof found === 'object' ? (found[plural.select(values.n)] ?? found.other) : found;
    if (text === undefined) return key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
        const value = values[name];
        return typeof value === 'number' ? value.toLocaleString(locale()) : (value ?? whole);
    });
}
