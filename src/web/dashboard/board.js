// The dashboard of an administrator: its parts, and how often they ask. While nobody looks, it rests.

import { call, Problem, Unreachable, wordsOf } from './api.js';
import { Accounts } from './accounts.js';
import { Cache } from './cache.js';
import { Charts } from './charts.js';
import { Configuration } from './configuration.js';
import { element } from './element.js';
import { moment, span } from './figures.js';
import { Past } from './past.js';
import { Security } from './security.js';
import { Standing } from './standing.js';
import { Upkeep } from './upkeep.js';

/** Between two looks at the server, milliseconds: as often as it takes samples, but not more often nor less. */
const LOOK_MS = { least: 1000, most: 10000 };
/** After a look that failed, milliseconds. */
const AGAIN_MS = 3000;
/** So long a look may take, milliseconds. */
const PATIENCE_MS = 10000;

export class Board {
    #past = new Past();
    #standing = new Standing();
    #upkeep = new Upkeep();
    #security = new Security((id) => this.#accounts.show(id));
    #cache = new Cache();
    #configuration = new Configuration();
    #accounts;
    #charts;
    #refused;
    #lost = element('p', { class: 'lost', role: 'alert', hidden: true });
    #version = element('p', { id: 'version', class: 'hint' });
    #timer = 0;
    #isLooking = false;
    /** Somebody wants another look at once. */
    #isWanted = false;
    #hasEnded = false;
    /** What is asked for once, and again after the connection was lost. */
    #isSettled = false;
    #seenAt = null;
    #pause = LOOK_MS.most;

    /**
     * @param {object} user who looks
     * @param {object} about what the server says of itself
     * @param {{signOut: Function, refused: Function}} acts `refused()`: they are no administrator any more
     */
    constructor(user, about, { signOut, refused }) {
        this.#refused = refused;
        this.#accounts = new Accounts(user, about);
        this.#charts = new Charts((range) => {
            this.#past.look(range);
            if (this.node) this.#look();
        });
        const parts = [
            this.#standing,
            this.#charts,
            this.#upkeep,
            this.#security,
            this.#accounts,
            this.#cache,
            this.#configuration,
        ];
        this.node = element(
            'div',
            { class: 'board' },
            element('a', { class: 'skip', href: '#now' }, 'Skip to the figures'),
            this.#head(user, signOut),
            element(
                'main',
                { id: 'main' },
                this.#lost,
                parts.map((part) => part.node),
            ),
        );
    }

    /** Begins to look. */
    start() {
        document.addEventListener('visibilitychange', this.#shown);
        this.#look();
    }

    /** Ends it. */
    end() {
        this.#hasEnded = true;
        clearTimeout(this.#timer);
        document.removeEventListener('visibilitychange', this.#shown);
        this.#charts.end();
        this.#accounts.end();
    }

    #head(user, signOut) {
        const to = (id, words) => element('li', {}, element('a', { href: `#${id}` }, words));
        return element(
            'header',
            { class: 'board-head' },
            element('div', {}, element('h1', { tabindex: -1 }, 'bondhu dashboard'), this.#version),
            element(
                'nav',
                { 'aria-label': 'Parts of this page' },
                element(
                    'ul',
                    {},
                    to('now', 'Now'),
                    to('charts', 'Figures'),
                    to('jobs', 'Jobs'),
                    to('security', 'Security'),
                    to('accounts', 'Accounts'),
                    to('configuration', 'Configuration'),
                ),
            ),
            element(
                'div',
                { class: 'who-looks' },
                element('span', { dir: 'auto', class: 'hint' }, user.username),
                element('a', { href: '/' }, 'Chat'),
                element('button', { type: 'button', class: 'small', id: 'sign-out', onclick: signOut }, 'Sign out'),
            ),
        );
    }

    #shown = () => {
        clearTimeout(this.#timer);
        if (!document.hidden) this.#look();
    };

    /** Looks at the server, and again after a while, as long as somebody looks at the page. */
    async #look() {
        this.#isWanted = this.#isLooking;
        if (this.#isLooking || this.#hasEnded) return;
        clearTimeout(this.#timer);
        this.#isLooking = true;
        let pause = AGAIN_MS;
        try {
            await this.#refresh();
            pause = this.#pause;
        } catch (error) {
            this.#fail(error);
        } finally {
            this.#isLooking = false;
        }
        if (this.#isWanted) pause = 0;
        if (!this.#hasEnded && !document.hidden) this.#timer = setTimeout(() => this.#look(), pause);
    }

    async #refresh() {
        const [now, ready] = await Promise.all([
            call('GET', '/api/v1/admin/monitor/now', undefined, { patience: PATIENCE_MS }),
            readiness(),
        ]);
        const view = await this.#drawPast(now);
        if (this.#hasEnded) return;
        this.#version.textContent = `Version ${now.version}, up for ${span(now.uptime_s)}`;
        this.#standing.show(now, ready);
        this.#upkeep.show(now);
        await Promise.all([this.#upkeep.refresh(), this.#security.refresh(), this.#cache.refresh(), this.#settle()]);
        this.#seenAt = Date.now();
        this.#lost.hidden = true;
        this.#pause = Math.min(LOOK_MS.most, Math.max(LOOK_MS.least, view?.interval ?? LOOK_MS.most));
    }

    /** Asks for the figures until they are those of the range that is chosen by then. */
    async #drawPast(now) {
        let view = null;
        for (let tries = 0; view === null && tries < 3; tries += 1) {
            await this.#past.refresh(now.at_ms);
            view = this.#past.view();
        }
        this.#charts.draw(view, now.bounds);
        return view;
    }

    /** What does not change by itself. */
    async #settle() {
        if (this.#isSettled) return;
        await Promise.all([this.#accounts.refresh(), this.#configuration.refresh()]);
        this.#isSettled = true;
    }

    #fail(error) {
        if (this.#hasEnded) return;
        if (error instanceof Problem && error.kind === 'not-admin') {
            this.#refused();
            return;
        }
        if (error instanceof Problem && error.isOfLogin) return; // The entrance is shown by then.
        this.#isSettled = false;
        const since = this.#seenAt ? ` What is shown is from ${moment(this.#seenAt)}.` : '';
        const words =
            error instanceof Unreachable ? 'The connection is lost; trying again…' : `${wordsOf(error)} Trying again…`;
        if (this.#lost.hidden) {
            this.#lost.textContent = words + since;
            this.#lost.hidden = false;
        }
    }
}

/** The answer of `/ready`, which is no failure where the server is not. */
async function readiness() {
    try {
        const response = await fetch('/ready', { signal: AbortSignal.timeout(PATIENCE_MS) });
        const body = await response.json();
        return body.parts ? body : null;
    } catch {
        return null; // The calls beside it say what is the matter.
    }
}
