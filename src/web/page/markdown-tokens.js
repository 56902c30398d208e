// Cuts the text of one paragraph, item or cell into tokens, which settles its code, escapes and links.
//
// Linear in the text whatever it holds: each reader goes forward, and what it looks at ahead of its token is bounded or
// remembered. HTML is text: nothing here knows of it.

import { safeUrl } from './links.js';

/** How deep round brackets are nested in an address. It bounds how often a character is read again. */
const BRACKETS_MAX = 8;

const ADDRESS_CHARACTERS_MAX = 2048;

const TITLE_CHARACTERS_MAX = 512;

const SPECIAL = /[\\`*_~[\]\n]|!\[|https?:\/\//gi;

const ASCII_PUNCTUATION = /[!-/:-@[-`{-~]/;

const WORD = /[\p{L}\p{N}\p{M}_]/u;

/** Both neighbours of a star in a sum or a name; scripts without spaces between words need their stars. */
const PLAIN_WORD = /^[a-z0-9]{2}$/i;

/** What ends an address that stands in a text. */
const ADDRESS_END = /[\p{C}\p{Z}<>"\\`[\]{}|^]/u;

/** An address does not begin within a word or another address. */
const NO_ADDRESS_AFTER = /[a-z0-9_/=@%&?#+.-]/i;

/** A sentence's marks after an address belong to the sentence. */
const AFTER_ADDRESS = /[.,:;!?'*_~(\u2019\u201d\u2026\u00bb\u0964\u0965\u3001\u3002\uff01\uff0c\uff1f]/;

/** Each takes what begins at `state.at` and moves it on, by a character at least. */
const READERS = {
    '\\': readEscape,
    '`': readCode,
    '*': readRun,
    _: readRun,
    '~': readRun,
    '[': readOpen,
    '!': readOpen,
    ']': readClose,
    '\n': readBreak,
    h: readAddress,
};

/**
 * Cuts a text into tokens, by `kind`: `text`; `code`; `break`; `run`, of a mark that may open or close emphasis; `open`
 * and `close`, the ends of a link, where an `open` without a link is text; `address`, a link that stands for itself.
 *
 * @param {string} text
 * @returns {Array<Object>}
 */
export function tokensOf(text) {
    const state = { text, at: 0, tokens: [], brackets: [], ticks: null };
    while (state.at < text.length) {
        SPECIAL.lastIndex = state.at;
        const found = SPECIAL.exec(text);
        takeText(state, found?.index ?? text.length);
        if (found !== null) {
            READERS[found[0][0].toLowerCase()](state);
        }
    }
    return state.tokens;
}

function takeText(state, end) {
    if (end > state.at) {
        state.tokens.push({ kind: 'text', text: state.text.slice(state.at, end) });
        state.at = end;
    }
}

function readEscape(state) {
    const next = state.text[state.at + 1];
    if (next === '\n') {
        state.at += 1; // The line break is kept anyway.
    } else if (next !== undefined && ASCII_PUNCTUATION.test(next)) {
        state.at += 1;
        takeText(state, state.at + 1);
    } else {
        takeText(state, state.at + 1);
    }
}

function readBreak(state) {
    state.tokens.push({ kind: 'break' });
    state.at += 1;
}

function readCode(state) {
    const { text, at } = state;
    const length = runLength(text, at);
    const close = closingTicks(state, at + length, length);
    if (close === undefined) {
        takeText(state, at + length);
        return;
    }
    const code = text.slice(at + length, close).replaceAll('\n', ' ');
    const isPadded = code.startsWith(' ') && code.endsWith(' ') && code.trim() !== '';
    state.tokens.push({ kind: 'code', text: isPadded ? code.slice(1, -1) : code });
    state.at = close + length;
}

/** Where the next run of just `length` backticks begins. All runs are found once, and each is passed once. */
function closingTicks(state, from, length) {
    state.ticks ??= tickRuns(state.text);
    const runs = state.ticks.get(length);
    if (runs === undefined) {
        return undefined;
    }
    while (runs.starts[runs.next] < from) {
        runs.next += 1;
    }
    return runs.starts[runs.next];
}

function tickRuns(text) {
    const byLength = new Map();
    for (let at = text.indexOf('`'); at !== -1;) {
        const length = runLength(text, at);
        if (!byLength.has(length)) {
            byLength.set(length, { starts: [], next: 0 });
        }
        byLength.get(length).starts.push(at);
        at = text.indexOf('`', at + length);
    }
    return byLength;
}

function runLength(text, at) {
    let end = at + 1;
    while (text[end] === text[at]) {
        end += 1;
    }
    return end - at;
}

// A run opens before and closes after anything but white space. Other dialects also ask whether punctuation stands
// beside it, and so miss a bold word that ends with a danda or a colon and has no space after it. Words and sums such as
// `2*3*4` hold marks that mean themselves.
function readRun(state) {
    const { text, at } = state;
    const mark = text[at];
    const length = runLength(text, at);
    const before = characterBefore(text, at);
    const after = characterAt(text, at + length);
    const isWordMark = mark === '_' || (length === 1 && PLAIN_WORD.test(before + after));
    const opens = after.trim() !== '' && !(isWordMark && WORD.test(before));
    const closes = before.trim() !== '' && !(isWordMark && WORD.test(after));
    if ((!opens && !closes) || (mark === '~' && length !== 2)) {
        takeText(state, at + length);
        return;
    }
    state.tokens.push({ kind: 'run', mark, length, left: length, opens, closes, opened: [], closed: [] });
    state.at = at + length;
}

function characterBefore(text, at) {
    const isPair = at > 1 && /[\udc00-\udfff]/.test(text[at - 1]);
    return text.slice(isPair ? at - 2 : Math.max(at - 1, 0), at);
}

function characterAt(text, at) {
    return at < text.length ? String.fromCodePoint(text.codePointAt(at)) : '';
}

function readOpen(state) {
    const text = state.text[state.at] === '!' ? '![' : '[';
    const token = { kind: 'open', text, link: null };
    state.tokens.push(token);
    state.brackets.push(token);
    state.at += text.length;
}

function readClose(state) {
    const opener = state.brackets.pop();
    const target = opener !== undefined && state.text[state.at + 1] === '(' ? targetAt(state.text, state.at + 2) : null;
    if (target === null) {
        takeText(state, state.at + 1);
    } else if (target.url === null) {
        takeText(state, target.end);
    } else {
        opener.link = { url: target.url, title: target.title };
        state.tokens.push({ kind: 'close', link: opener.link });
        state.at = target.end;
        if (opener.text === '[') {
            state.brackets.length = 0; // A link holds no link; a picture may stand in one.
        }
    }
}

/** Reads `address "title")`; null if it is not so written. */
function targetAt(text, from) {
    const start = skipSpaces(text, from);
    const addressEnd = addressEndAt(text, start);
    if (addressEnd === null) {
        return null;
    }
    const titled = titleAt(text, skipSpaces(text, addressEnd));
    const end = skipSpaces(text, titled.end);
    if (text[end] !== ')') {
        return null;
    }
    return { url: safeUrl(text.slice(start, addressEnd)), title: titled.title, end: end + 1 };
}

function addressEndAt(text, start) {
    let depth = 0;
    for (let at = start; at < text.length && at - start <= ADDRESS_CHARACTERS_MAX; at += 1) {
        const character = text[at];
        if (character === '(') {
            depth += 1;
        } else if (character === ')') {
            depth -= 1;
        }
        if (depth < 0 || character === ' ' || character === '\n') {
            return at;
        }
        if (depth > BRACKETS_MAX || character === '<') {
            return null;
        }
    }
    return null;
}

function titleAt(text, at) {
    const quote = text[at];
    if (quote === '"' || quote === "'") {
        const end = text.slice(at + 1, at + 1 + TITLE_CHARACTERS_MAX).indexOf(quote);
        if (end !== -1) {
            return { title: text.slice(at + 1, at + 1 + end), end: at + end + 2 };
        }
    }
    return { title: null, end: at };
}

function skipSpaces(text, from) {
    let at = from;
    while (text[at] === ' ') {
        at += 1;
    }
    return at;
}

function readAddress(state) {
    const { text, at } = state;
    if (NO_ADDRESS_AFTER.test(characterBefore(text, at))) {
        takeText(state, at + 1);
        return;
    }
    const end = bareAddressEnd(text, at);
    const url = safeUrl(text.slice(at, end));
    if (url === null) {
        takeText(state, end);
        return;
    }
    state.tokens.push({ kind: 'address', text: text.slice(at, end), link: { url, title: null } });
    state.at = end;
}

function bareAddressEnd(text, start) {
    let end = start;
    let depth = 0;
    while (end < text.length) {
        const character = characterAt(text, end);
        if (character === '(') {
            depth += 1;
        } else if (character === ')') {
            depth -= 1;
        }
        const isDoubled = (character === '*' || character === '~') && text[end + 1] === character;
        if (depth < 0 || isDoubled || ADDRESS_END.test(character)) {
            break;
        }
        end += character.length;
    }
    while (end > start + 1 && AFTER_ADDRESS.test(text[end - 1])) {
        end -= 1;
    }
    return end;
}
