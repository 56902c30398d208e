// The words of the interface, in the user's language. They are data: `words.LANGUAGE.json`, one file a language.

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
export async function load() {
    const asked = [preference('language'), ...navigator.languages].filter(Boolean);
    const chosen = asked.map((tag) => tag.split('-')[0]).find((tag) => Object.hasOwn(LANGUAGES, tag)) ?? 'en';
    const response = await fetch(new URL(`words.${chosen}.json`, import.meta.url));
    if (!response.ok) throw new Error(`no words for ${chosen}`);
    words = await response.json();
    language = chosen;
    plural = new Intl.PluralRules(chosen);
    document.documentElement.lang = chosen;
}

/** Chooses a language; null: the browser's. */
export async function choose(tag) {
    setPreference('language', tag);
    await load();
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
