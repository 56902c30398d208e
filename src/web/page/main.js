// Starts the page, and keeps who is signed in: the page of a user, or the entrance.

import * as announcer from './announce.js';
import { askFor, call, onLoginEnd, Problem, Unreachable, wordsOf } from './api.js';
import { coverWhenLeft } from './away.js';
import { help } from './dialogs.js';
import { element } from './element.js';
import { Home } from './home.js';
import { forget, hasLeft, onLeftElsewhere, preference, setPreference, setUser } from './kept.js';
import { choose, LANGUAGES, load, say } from './language.js';
import { signIn } from './sign-in.js';

/** How long the start waits between its tries, milliseconds. */
const AGAIN_MS = 3000;

/** @type {Home | null} */
let home = null;
let about = null;

const acts = {
    language: async (tag) => {
        await choose(tag);
        await begin();
    },
    theme: (name) => {
        setPreference('theme', name);
        applyTheme();
    },
    signOut: async () => {
        await call('POST', '/api/v1/auth/logout').catch((error) => {
            if (!(error instanceof Problem && error.isOfLogin)) throw error;
        });
        if (home) leave({ forgets: true });
    },
    gone: () => leave({ note: say('account_deleted'), forgets: true }),
};

/**
 * Shows the entrance, after whoever was signed in has left or their login has ended.
 * @param {{note?: string, forgets?: boolean, isNew?: boolean}} options `forgets`: nothing of them stays in the browser;
 *     `isNew`: begins with making an account
 */
function leave({ note, forgets = false, isNew = false } = {}) {
    const user = home?.user;
    home?.end();
    home = null;
    askFor(null);
    if (forgets) {
        if (user) forget(user.id);
        history.replaceState(null, '', '/');
    }
    const foot = element(
        'footer',
        { class: 'gate-foot' },
        element('p', {}, say('fact_program')),
        element('button', { type: 'button', id: 'get-help', onclick: () => help(about) }, say('get_help')),
        languages(),
    );
    document.body.replaceChildren(signIn(about, enter, { note, foot, isNew }));
    document.title = 'bondhu';
    announcer.mount(document.body);
    document.querySelector('.gate input').focus();
}

/** The choice of a language at the entrance: what was written there stays. */
function languages() {
    const chosen = async () => {
        const written = [...document.querySelectorAll('.gate input')].map(({ id, value }) => [id, value]);
        try {
            await choose(select.value);
        } catch (error) {
            announcer.announce(wordsOf(error));
            select.value = document.documentElement.lang;
            return;
        }
        leave({ isNew: document.getElementById('register') !== null });
        for (const [id, value] of written) document.getElementById(id).value = value;
        document.getElementById('language').focus();
    };
    const options = Object.entries(LANGUAGES).map(([tag, name]) =>
        element('option', { value: tag, lang: tag, selected: document.documentElement.lang === tag }, name),
    );
    const select = element('select', { id: 'language', 'aria-label': say('language'), onchange: chosen }, options);
    return select;
}

function enter(user) {
    home?.end();
    askFor(user.id);
    setUser(user.id);
    home = new Home(user, about, acts);
    home.start();
}

async function begin() {
    const user = await call('GET', '/api/v1/auth/me').then(
        (answer) => answer.user,
        (error) => {
            if (error instanceof Problem && error.isOfLogin) return null;
            throw error;
        },
    );
    if (user) enter(user);
    else leave();
}

/** Nobody is signed in any more; or somebody else is, in another tab, and this page is theirs from now on. */
function loginEnded(kind) {
    if (!home) return;
    if (kind === 'other-login') location.reload();
    const isOver = hasLeft(home.user.id);
    leave({ note: say(isOver ? 'login_over' : 'login_ended') });
}

/** Somebody signed out in another tab, or deleted their account there: this one is not to wait until the server says so. */
function leftElsewhere(user) {
    const note = document.querySelector('.gate .note');
    if (home?.user.id === user) leave({ note: say('login_over') });
    else if (note?.textContent === say('login_ended')) note.textContent = say('login_over');
}

function applyTheme() {
    const theme = preference('theme');
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
}

/** Starts; where the server can't be reached, says so and tries again. */
async function start() {
    applyTheme();
    try {
        await load();
        about = await call('GET', '/api/v1/about');
        onLoginEnd(loginEnded);
        await begin();
    } catch (error) {
        if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
        const words =
            say('unreachable') === 'unreachable' ? 'The server can’t be reached; trying again…' : wordsOf(error);
        const main = element(
            'main',
            { class: 'gate' },
            element('h1', {}, 'bondhu'),
            element('p', { role: 'status' }, words),
        );
        document.body.replaceChildren(main);
        setTimeout(start, AGAIN_MS);
    }
}

onLeftElsewhere(leftElsewhere);
coverWhenLeft(() => home?.user.id ?? null);
start();
