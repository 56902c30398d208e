// Starts the dashboard, and keeps who looks at it: an administrator, somebody else, or nobody yet.

import * as announcer from './announce.js';
import { askFor, call, onLoginEnd, Problem, Unreachable, wordsOf } from './api.js';
import { coverWhenLeft } from './away.js';
import { Board } from './board.js';
import { confirm } from './dialogs.js';
import { element } from './element.js';
import { forget, setUser, unsent } from './kept.js';
import { load, say } from './language.js';
import { field, form } from './sign-in.js';

/** How long the start waits between its tries, milliseconds. */
const AGAIN_MS = 3000;

/** @type {Board | null} */
let board = null;
/** The id of who looks, an administrator or not. @type {string | null} */
let looker = null;
/** What the server says of itself. */
let about = null;

/** Shows one thing in the place of all others. */
function show(title, ...content) {
    board?.end();
    board = null;
    document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
    const heading = element('h1', { tabindex: -1 }, title);
    document.body.replaceChildren(element('main', { class: 'gate' }, heading, content));
    announcer.mount(document.body);
    return heading;
}

/** The entrance of who is not signed in. */
function signIn(note = '') {
    looker = null;
    askFor(null);
    const entrance = form(
        'sign-in',
        [
            field('User name', {
                id: 'username',
                type: 'text',
                required: true,
                autocomplete: 'username',
                autocapitalize: 'none',
                spellcheck: 'false',
            }),
            field('Password', {
                id: 'password',
                type: 'password',
                required: true,
                autocomplete: 'current-password',
            }),
        ],
        'Sign in',
        async ({ username, password }) => {
            const { user } = await call('POST', '/api/v1/auth/login', { username, password, label: 'dashboard' });
            enter(user);
            document.querySelector('h1').focus(); // The form had the keyboard, and is gone.
        },
    );
    show(
        'Dashboard',
        element('p', { class: 'lead' }, 'For the administrators of this server.'),
        note ? element('p', { class: 'note', role: 'status' }, note) : null,
        entrance,
    );
    entrance.querySelector('input').focus();
}

/** Tells somebody who is no administrator. Nothing is asked of the administrators' calls: that would be an alarm there. */
function refuse(user) {
    const heading = show(
        'Not for this account',
        element(
            'p',
            {},
            'You are signed in as ',
            element('strong', { dir: 'auto' }, user.username),
            ', who is no administrator of this server. The dashboard is for administrators.',
        ),
        element('a', { class: 'button primary', href: '/' }, 'Go to the chat'),
        element('button', { type: 'button', id: 'sign-out', onclick: signOut }, 'Sign in as somebody else'),
    );
    heading.focus();
}

function enter(user) {
    looker = user.id;
    askFor(user.id);
    setUser(user.id);
    if (user.role !== 'admin') return refuse(user);
    board?.end();
    board = new Board(user, about, { signOut, refused: () => refuse(user) });
    document.body.replaceChildren(board.node);
    announcer.mount(document.body);
    return board.start();
}

/** Signs out of the chat too: it is one login. Where that would lose something, they are asked, as there. */
function signOut() {
    const user = looker;
    const act = async () => {
        await call('POST', '/api/v1/auth/logout').catch((error) => {
            if (!(error instanceof Problem && error.isOfLogin)) throw error;
        });
        forget(user);
        signIn();
    };
    const n = unsent(user).length;
    if (n === 0) return act().catch((error) => announcer.announce(wordsOf(error)));
    return confirm({ title: say('sign_out'), text: say('unsent_sure', { n }), action: say('sign_out'), act });
}

/** Starts; where the server can't be reached, says so and tries again. */
async function start() {
    try {
        await load('en');
        about = await call('GET', '/api/v1/about');
        const user = await call('GET', '/api/v1/auth/me').then(
            (answer) => answer.user,
            (error) => {
                if (error instanceof Problem && error.isOfLogin) return null;
                throw error;
            },
        );
        onLoginEnd((kind) => {
            if (kind === 'other-login') location.reload();
            else signIn('Your login has ended. Please sign in again.');
        });
        if (user) enter(user);
        else signIn();
    } catch (error) {
        if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
        show('bondhu', element('p', { role: 'status' }, 'The server can’t be reached; trying again…'));
        setTimeout(start, AGAIN_MS);
    }
}

coverWhenLeft(() => looker);
start();
