// What stands where a conversation has not begun: what this is, who sees what is written, and a few ways to begin.

import { element } from './element.js';
import { say } from './language.js';

const BEGINNINGS = ['begin_day', 'begin_worry', 'begin_sleep'];

/**
 * The welcome. `begin(text)` puts a first sentence into the box; the user sends it, or not.
 * @param {object} user
 * @param {(text: string) => void} begin
 */
export function welcome(user, begin) {
    const buttons = BEGINNINGS.map((key) =>
        element('button', { type: 'button', onclick: () => begin(say(key)) }, say(key)),
    );
    return element(
        'section',
        { class: 'welcome', 'aria-labelledby': 'welcome-title' },
        element('h2', { id: 'welcome-title' }, say('welcome_title', { name: user.display_name || user.username })),
        element('p', {}, say('welcome_text')),
        element(
            'ul',
            { class: 'facts' },
            ['fact_program', 'fact_kept', 'fact_yours'].map((key) => element('li', {}, say(key))),
        ),
        element('div', { class: 'beginnings' }, buttons),
    );
}
