// Schemas of the description, as people read them: a list of fields, and an example. What a `$ref` names is found here.

import { element } from './element.js';

/** Schemas within schemas are shown, and made up, this deep. */
const DEPTH_MAX = 6;
/** A pattern that is longer says less than the words beside it. */
const PATTERN_MAX = 50;

/** A text of the description: what stands in backquotes is code. */
export function worded(text) {
    return text.split('`').map((part, at) => (at % 2 === 1 ? element('code', {}, part) : part));
}

export class Description {
    /** @param {object} document The OpenAPI document. */
    constructor(document) {
        this.document = document;
    }

    /** What stands at the place that a `$ref` names, or the value itself. */
    at(value) {
        const place = value?.$ref;
        if (place === undefined) return value;
        const keys = place.slice(2).split('/');
        return this.at(
            keys.reduce((part, key) => part[key.replaceAll('~1', '/').replaceAll('~0', '~')], this.document),
        );
    }

    /** The schema with what it refers to, and all of its parts as one. */
    schema(value) {
        const schema = this.at(value) ?? {};
        if (!schema.allOf) return schema;
        const { allOf, ...own } = schema;
        return [...allOf.map((part) => this.schema(part)), own].reduce((all, part) => ({
            ...all,
            ...part,
            properties: { ...all.properties, ...part.properties },
            required: [...(all.required ?? []), ...(part.required ?? [])],
        }));
    }

    /** The types of problems that a refusal can have, without what all their names begin with. */
    problems(response) {
        const media = Object.values(this.at(response).content ?? {});
        const types = media.flatMap(({ schema }) => {
            const { type, error } = this.schema(schema).properties ?? {};
            return type?.enum ?? this.schema(error).properties?.code?.enum ?? [];
        });
        return types.filter((type) => type !== null).map((type) => type.split(':').at(-1));
    }

    /** The events of a stream, each with the schema of its data; nothing without a stream. */
    events(value) {
        const { oneOf, anyOf = [] } = value === undefined ? {} : this.schema(value);
        const choices = (oneOf ?? anyOf).map(({ properties: { event, data } }) => [event.const, data.contentSchema]);
        return choices.filter(([, schema]) => schema !== undefined);
    }

    /** A value that fits. */
    example(value, depth = 0) {
        const schema = this.schema(value);
        if (schema.examples) return schema.examples[0];
        if ('const' in schema) return schema.const;
        if ('default' in schema) return schema.default;
        if (schema.enum) return schema.enum[0];
        const [one] = schema.oneOf ?? (schema.properties ? [] : (schema.anyOf ?? []));
        if (one) return this.example(one, depth);
        return depth > DEPTH_MAX ? null : this.#made(schema, depth);
    }

    #made(schema, depth) {
        switch ([schema.type].flat()[0]) {
            case 'object':
                return Object.fromEntries(
                    Object.entries(schema.properties ?? {})
                        .filter(([name, part]) => schema.required?.includes(name) || this.schema(part).examples)
                        .map(([name, part]) => [name, this.example(part, depth + 1)]),
                );
            case 'array':
                return [this.example(schema.items, depth + 1)];
            case 'integer':
            case 'number':
                return schema.minimum ?? 0;
            case 'boolean':
                return false;
            default:
                return '…';
        }
    }

    /** The fields of a schema, one in another; nothing where it has none. */
    fields(value, isAnswer = false, depth = 0) {
        const schema = this.schema(value);
        const choices = schema.oneOf ?? (schema.properties ? [] : (schema.anyOf ?? []));
        if (depth > DEPTH_MAX) return null;
        if (choices.length > 0) return this.#choices(choices, isAnswer, depth);
        const inner = schema.items ?? (schema.properties ? null : schema.additionalProperties);
        if (inner) return this.fields(inner, isAnswer, depth);
        const parts = Object.entries(schema.properties ?? {});
        if (parts.length === 0) return null;
        return element(
            'ul',
            { class: 'fields' },
            parts.map(([name, part]) => {
                const isRequired = schema.required?.includes(name) === true;
                const mark = isAnswer ? !isRequired && 'not always there' : isRequired && 'required';
                return this.field(name, part, { mark, isAnswer, depth });
            }),
        );
    }

    #choices(choices, isAnswer, depth) {
        const shown = choices.map((choice) => this.fields(choice, isAnswer, depth + 1)).filter(Boolean);
        if (shown.length < 2) return shown[0] ?? null;
        return element(
            'ol',
            { class: 'choices' },
            shown.map((fields) => element('li', {}, fields)),
        );
    }

    /**
     * One field, or one parameter: its name, its type and bounds, what it is, and what is in it.
     * @param {string} name
     * @param {object} value Its schema.
     * @param {{mark?: string | false, about?: string, isAnswer?: boolean, depth?: number}} options `mark` stands behind
     *     the type, `about` in place of what the schema says of itself
     */
    field(name, value, { mark = false, about, isAnswer = false, depth = 0 } = {}) {
        const schema = this.schema(value);
        return element(
            'li',
            {},
            element('code', { class: 'name' }, name),
            ' ',
            element('span', { class: 'type' }, this.type(schema)),
            mark ? element('span', { class: 'mark' }, ` ${mark}`) : null,
            element('p', {}, worded(about ?? schema.description ?? '')),
            this.fields(schema, isAnswer, depth + 1),
        );
    }

    /** The type of a schema and its bounds, in a few words. */
    type(value) {
        const schema = this.schema(value);
        const choices = schema.oneOf ?? (schema.properties ? undefined : schema.anyOf);
        if (choices) return [...new Set(choices.map((choice) => this.type(choice)))].join(' or ');
        const values = schema.enum ?? ('const' in schema ? [schema.const] : undefined);
        const types = [schema.type ?? (values ? [] : 'any')].flat();
        const named = schema.items ? [`array of ${this.type(schema.items)}`, ...types.slice(1)] : types;
        const known = values?.filter((one) => one !== null).map((one) => JSON.stringify(one));
        return [
            named.join(' or '),
            schema.format,
            known?.join(', '),
            range(schema.minLength, schema.maxLength, 'characters'),
            range(schema.minimum, schema.maximum, ''),
            schema.maxItems === undefined ? undefined : `at most ${schema.maxItems}`,
            schema.pattern?.length <= PATTERN_MAX ? schema.pattern : undefined,
            'default' in schema ? `else ${JSON.stringify(schema.default)}` : undefined,
        ]
            .filter(Boolean)
            .join(' · ');
    }
}

/** From one bound to the other; a bound that no number of a script can be is none worth showing. */
function range(least, most, unit) {
    const to = Number.isSafeInteger(most) ? most : undefined;
    const words = { true: `${least}–${to}`, false: least === undefined ? `at most ${to}` : `at least ${least}` };
    if (least === undefined && to === undefined) return undefined;
    return `${words[least !== undefined && to !== undefined]} ${unit}`.trim();
}
