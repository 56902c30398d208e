// A page that is left is kept by browsers as it was, for whoever comes back to it. Nothing of a user who has signed out
// meanwhile may be seen on it then, also where nobody can be asked who is signed in.

import { call, Unreachable } from './api.js';
import { hasLeft, isShared } from './kept.js';

/** An answer about the login is waited for this long, milliseconds. */
const PATIENCE_MS = 3000;

let focused = null;

/**
 * Covers the page whenever it is left, and shows it to who comes back once that is sure to be right.
 * @param {() => string | null} whose gives the id of the user whose page it is; null: nobody's
 */
export function coverWhenLeft(whose) {
    // It is covered as it is left: what is shown first to who comes back is the picture of that moment.
    window.addEventListener('pagehide', () => {
        if (whose() !== null) cover();
    });
    window.addEventListener('pageshow', ({ persisted }) => {
        if (persisted) back(whose());
    });
}

async function back(user) {
    if (user !== null) {
        if (hasLeft(user)) return location.reload(); // It stays covered until the new page is there.
        try {
            await call('GET', '/api/v1/auth/me', undefined, { patience: PATIENCE_MS });
        } catch (error) {
            // A login that has ended has changed the page. Without an answer the browser knows that nobody has signed out.
            if (error instanceof Unreachable && !isShared()) return location.reload();
        }
    }
    return uncover();
}

function cover() {
    focused = document.activeElement;
    document.body.style.visibility = 'hidden';
}

/** What can't be seen loses the keyboard: it gets it back. */
function uncover() {
    document.body.style.visibility = '';
    if (document.activeElement === document.body) focused?.focus();
    focused = null;
}
