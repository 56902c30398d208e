// What forms ask of their fields, in the language of the page: what browsers say of it is in their own.

import { say } from './language.js';

/** What is to be said of a field that breaks one of its rules. */
export function ruleOf(input) {
    const { valueMissing, tooShort } = input.validity;
    if (valueMissing) return say('rule_missing');
    if (tooShort) return say('rule_short', { n: input.minLength });
    return input.validationMessage;
}
