// What the browser keeps for the page: preferences, who is signed in, drafts, and what was written but not yet acknowledged.
// No other text of a conversation is kept. Where the browser keeps nothing (private windows), all of it still works until
// the page is closed.

const PREFIX = 'bondhu.';
/** Where the id of who is signed in stands. It goes first when they sign out, and other tabs hear of it. */
const USER = 'user';
const memory = new Map();

function read(name) {
    if (memory.has(name)) return memory.get(name);
    try {
        return localStorage.getItem(PREFIX + name);
    } catch {
        return null;
    }
}

function write(name, value) {
    memory.delete(name);
    try {
        if (value === null) localStorage.removeItem(PREFIX + name);
        else localStorage.setItem(PREFIX + name, value);
    } catch {
        if (value !== null) memory.set(name, value);
    }
}

/**
 * A preference of this browser: 'language' or 'theme'.
 * @param {string} name
 * @returns {string | null}
 */
export function preference(name) {
    return read(`preference.${name}`);
}

/** Keeps a preference; null forgets it. */
export function setPreference(name, value) {
    write(`preference.${name}`, value);
}

/** Notes who is signed in, until they sign out: all tabs of a browser share a login. */
export function setUser(user) {
    write(USER, user);
}

/** True where `user` has signed out, or somebody else has signed in. */
export function hasLeft(user) {
    return read(USER) !== user;
}

/** False where the browser keeps nothing, so that one tab can't know what became of a login in another. */
export function isShared() {
    return !memory.has(USER);
}

/** Calls `listener(user)` when somebody signed out in another tab: nothing that they wrote is kept any more. */
export function onLeftElsewhere(listener) {
    window.addEventListener('storage', ({ key, oldValue, newValue }) => {
        if (key === PREFIX + USER && newValue === null) listener(oldValue);
    });
}

/** What `user` has begun to write in a session ('new' for one that is not there yet). */
export function draft(user, session) {
    return read(`draft.${user}.${session}`) ?? '';
}

/** Keeps a draft; an empty one is forgotten. */
export function setDraft(user, session, text) {
    write(`draft.${user}.${session}`, text === '' ? null : text);
}

/** Adds to what `user` has begun to write; what stands at its end already, another tab has added. */
export function addDraft(user, session, text) {
    const begun = draft(user, session);
    if (begun === text || begun.endsWith(`\n${text}`)) return;
    setDraft(user, session, [begun, text].filter(Boolean).join('\n'));
}

/** Calls `listener(session)` when another tab took a draft of `user` away. Gives the way to stop that. */
export function onDraftDropped(user, listener) {
    const prefix = `${PREFIX}draft.${user}.`;
    return onStorage(({ key, newValue }) => {
        if (key?.startsWith(prefix) && newValue === null) listener(key.slice(prefix.length));
    });
}

/** The messages of `user` that the server has not acknowledged, oldest first; of all tabs. @returns {object[]} */
export function unsent(user) {
    const prefix = `unsent.${user}.`;
    return names()
        .filter((name) => name.startsWith(prefix))
        .map((name) => parsed(read(name)))
        .filter(Boolean)
        .sort((a, b) => a.at - b.at);
}

/** Keeps a message until the server has acknowledged it. Each stands for itself: tabs do not overwrite each other's. */
export function setUnsent(user, entry) {
    write(`unsent.${user}.${entry.key}`, JSON.stringify(entry));
}

/** The server has it, or the user does not want it any more. */
export function dropUnsent(user, entry) {
    write(`unsent.${user}.${entry.key}`, null);
}

/**
 * Calls `listener(entry)` when another tab changed what of `user` is unacknowledged: with the message where that is new, else
 * with null. Gives the way to stop that.
 */
export function onUnsentElsewhere(user, listener) {
    return onStorage(({ key, oldValue, newValue }) => {
        if (key !== null && !key.startsWith(`${PREFIX}unsent.${user}.`)) return;
        listener(oldValue === null ? parsed(newValue) : null);
    });
}

/** Forgets what `user` wrote in a session that is gone. */
export function forgetSession(user, session) {
    write(`draft.${user}.${session}`, null);
    for (const entry of unsent(user)) {
        if (entry.session === session) dropUnsent(user, entry);
    }
}

/** Forgets all that `user` wrote: they have signed out. That comes first, so that no other tab keeps anything of it anew. */
export function forget(user) {
    if (!hasLeft(user)) write(USER, null);
    for (const name of names()) {
        if (name.startsWith(`draft.${user}.`) || name.startsWith(`unsent.${user}.`)) write(name, null);
    }
}

function onStorage(heard) {
    window.addEventListener('storage', heard);
    return () => window.removeEventListener('storage', heard);
}

function names() {
    let kept = [];
    try {
        kept = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    } catch {
        // Nothing is kept.
    }
    return [...new Set([...kept.map((name) => name.slice(PREFIX.length)), ...memory.keys()])];
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}
