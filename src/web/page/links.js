// Which addresses become links, and when a link has to say where it leads.

const URL_CHARACTERS_MAX = 2048;

/** Control, format, private and unassigned characters, white space, and what an address never holds unescaped. */
const REFUSED = /[\p{C}\p{Z}<>"\\`]/u;

const START = /^https?:\/\/([^/?#]+)/i;

/** Reorders what is seen: no reader can tell what the text says. */
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** Changes nothing that is seen, and so could split a name. Joiners of Indic scripts and of emoji are among them. */
const INVISIBLE = /\p{Cf}/gu;

const NO_HOST = /[^\p{L}\p{N}\p{M}.\u3002-]+/u;

const DOT = /[.\u3002]/;

const LAST_LABEL = /\.(?:xn--[a-z0-9-]+|\p{L}[\p{L}\p{M}-]+)$/iu;

const IPV4 = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;

/**
 * The address that `text` spells, if the page may link to it: http or https, written out, without a name or password,
 * without characters that hide or disguise anything.
 *
 * @param {string} text
 * @returns {?URL}
 */
export function safeUrl(text) {
    if (text.length > URL_CHARACTERS_MAX || REFUSED.test(text)) {
        return null;
    }
    const authority = START.exec(text)?.[1];
    if (authority === undefined || authority.includes('@') || authority.includes('%')) {
        return null;
    }
    const url = parsed(text);
    const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.hostname !== '' && url.username === '';
    return isPlain && url.password === '' ? url : null;
}

/**
 * The host to show beside a link, if what the link says could be taken for another host than the one it leads to.
 *
 * @param {string} words The link's visible text.
 * @param {URL} url Where it leads.
 * @returns {?string}
 */
export function hostBehind(words, url) {
    if (url.href === words || url.href === `${words}/`) {
        return null; // The words are the address itself: nothing needs to be read.
    }
    if (BIDI.test(words) || (url.hostname.includes('xn--') && !words.toLowerCase().includes(url.hostname))) {
        return url.host;
    }
    const plain = words.normalize('NFKC').replace(INVISIBLE, '').trim();
    const authority = START.exec(plain)?.[1];
    if (authority !== undefined && !/\s/.test(plain)) {
        return isHost(authority, url) ? null : url.host;
    }
    const hosts = plain.split(NO_HOST).map(withSingleDots).filter(looksLikeHost);
    return hosts.every((host) => isHost(host, url)) ? null : url.host;
}

/** Dots at the ends and twice in a row do not stop a reader from seeing a host. */
function withSingleDots(word) {
    return word.split(DOT).filter(Boolean).join('.');
}

function looksLikeHost(word) {
    return LAST_LABEL.test(word) || IPV4.test(word);
}

function isHost(authority, url) {
    const named = parsed(`http://${authority}`);
    return named !== null && withoutWww(named.hostname) === withoutWww(url.hostname);
}

function withoutWww(hostname) {
    return hostname.startsWith('www.') ? hostname.slice(4) : hostname;
}

function parsed(text) {
    try {
        return new URL(text);
    } catch {
        return null;
    }
}
