// Keys for programs: what there is, a form that makes one, and the one time that its secret is shown.

import { call, wordsOf } from './api.js';
import { copyText } from './clipboard.js';
import { fullTime } from './dates.js';
import { confirm, open } from './dialogs.js';
import { element } from './element.js';
import { say } from './language.js';
import { field, form } from './sign-in.js';

/** What a key may allow, as the server calls it. */
const SCOPES = ['models', 'completions', 'conversations', 'read'];
/** A part of another one: the form begins with all but that. */
const PART = 'read';
/** How long a key may hold, days; and how long it does where nobody chooses. */
const DAYS = [7, 30, 90, 365];
const DAYS_DEFAULT = 365;

/**
 * The list of keys and the form for a new one.
 * @param {Function} tell shows a text where it is spoken
 * @returns {{parts: Node[], refresh: Function}}
 */
export function apiKeys(tell) {
    const list = element('ul', { id: 'api-keys', tabindex: -1, 'aria-labelledby': 'api_keys-title' });
    const none = element('p', { id: 'no-api-keys', class: 'hint', hidden: true }, say('api_key_none'));
    const read = async () => {
        const { keys } = await call('GET', '/api/v1/auth/keys');
        list.replaceChildren(...keys.map((key) => row(key, revoke)));
        list.hidden = keys.length === 0;
        none.hidden = keys.length > 0;
    };
    const refresh = () => read().catch((error) => tell(wordsOf(error)));
    const revoke = (key) => {
        const question = confirm({
            title: say('api_key_end_of', { name: key.name }),
            text: say('api_key_end_sure', { name: key.name }),
            action: say('api_key_end'),
            act: async () => {
                await call('DELETE', `/api/v1/auth/keys/${key.id}`);
                await refresh();
                tell(say('api_key_ended'));
                // The button goes with its key; the keyboard stays near.
                question.addEventListener('close', () => (list.hidden ? name(made) : list).focus());
            },
        });
    };
    const made = newKey(async (wanted) => {
        const key = await call('POST', '/api/v1/auth/keys', wanted);
        await refresh();
        show(key.key).addEventListener('close', () => list.focus());
    });
    refresh();
    return { parts: [element('p', { class: 'hint' }, say('api_keys_about')), list, none, made], refresh };
}

function row(key, revoke) {
    const used = key.last_used_at ? say('last_used', { when: fullTime(key.last_used_at) }) : say('api_key_never');
    return element(
        'li',
        {},
        element('span', { class: 'title', dir: 'auto' }, key.name),
        element('span', { class: 'when' }, key.scopes.map((scope) => say(`scope_${scope}`)).join(' · ')),
        element('span', { class: 'when' }, used),
        element('span', { class: 'when' }, say('api_key_ends', { when: fullTime(key.expires_at) })),
        element(
            'button',
            { type: 'button', 'aria-label': say('api_key_end_of', { name: key.name }), onclick: () => revoke(key) },
            say('api_key_end'),
        ),
    );
}

function name(made) {
    return made.querySelector('#key-name');
}

/** The form; `make` is handed what is wanted, as the server takes it. */
function newKey(make) {
    const boxes = SCOPES.map((scope) =>
        element('input', {
            type: 'checkbox',
            id: `scope-${scope}`,
            name: 'scopes',
            value: scope,
            checked: scope !== PART,
        }),
    );
    const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
    const judge = () => boxes[0].setCustomValidity(chosen().length ? '' : say('api_key_scopes_missing'));
    const days = element(
        'select',
        { id: 'key-days' },
        DAYS.map((n) => element('option', { value: n, selected: n === DAYS_DEFAULT }, say('api_key_days', { n }))),
    );
    const made = form(
        'key-form',
        [
            field(say('api_key_name'), {
                id: 'key-name',
                name: 'name',
                type: 'text',
                required: true,
                maxlength: 100,
                dir: 'auto',
                autocomplete: 'off',
            }),
            element(
                'fieldset',
                { class: 'checks', onchange: judge },
                element('legend', {}, say('api_key_scopes')),
                boxes.map((box) => element('label', { for: box.id }, box, say(`scope_${box.value}`))),
            ),
            element('div', { class: 'field' }, element('label', { for: days.id }, say('api_key_until')), days),
        ],
        say('api_key_make'),
        async (values) => {
            await make({ name: values.name, scopes: chosen(), expires_in_days: Number(days.value) });
            made.reset();
        },
    );
    return made;
}

/** Shows a secret, this once; gives the dialog. */
function show(secret) {
    const told = element('p', { class: 'hint', role: 'status' });
    const shown = element('input', { id: 'new-key', type: 'text', readonly: true, autocomplete: 'off', value: secret });
    const copy = element(
        'button',
        {
            type: 'button',
            id: 'copy-key',
            class: 'primary',
            onclick: async () => {
                told.textContent = (await copyText(secret)) ? say('copied') : say('not_copied');
            },
        },
        say('api_key_copy'),
    );
    const dialog = open(
        say('api_key_made'),
        [
            element('p', {}, say('api_key_made_about')),
            element('div', { class: 'field' }, element('label', { for: shown.id }, say('api_key_secret')), shown),
            copy,
            told,
        ],
        { id: 'key-dialog' },
    );
    copy.focus();
    return dialog;
}
