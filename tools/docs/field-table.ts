import { z } from 'zod';
import { markdownTable } from './markdown-table.ts';

type JsonSchema = z.core.JSONSchema.JSONSchema;

/** Table of the fields of an object as a reader accepts them; nested fields have their path. */
export function fieldTable(schema: z.ZodType): string {
  const rows = objectFields(resolved(z.toJSONSchema(schema, { io: 'input' })), '');
  return rows.length === 0 ? 'No fields.' : markdownTable(['field', 'type', 'required', 'meaning'], rows);
}

/** A schema with its own id, for the API description, is a reference to itself. */
function resolved(schema: JsonSchema): JsonSchema {
  const found = schema.$defs?.[schema.$ref?.replace('#/$defs/', '') ?? ''];
  return typeof found === 'object' ? found : schema;
}

function objectFields(schema: JsonSchema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    if (typeof field === 'boolean') throw new Error(`${prefix}${name} has no schema`);
    const path = `${prefix}${name}`;
    const inner = withoutNull(field);
    const row = [`\`${path}\``, typeText(field), requiredText(schema, name, field), meaningOf(field)];
    return [row, ...objectFields(inner, `${path}.`), ...objectFields(itemsOf(inner), `${path}[].`)];
  });
}

function requiredText(schema: JsonSchema, name: string, field: JsonSchema): string {
  if (schema.required?.includes(name)) return 'yes';
  return field.default === undefined ? 'no' : `default \`${JSON.stringify(field.default)}\``;
}

function meaningOf(field: JsonSchema): string {
  return field.description ?? withoutNull(field).description ?? '';
}

function typeText(field: JsonSchema): string {
  const inner = withoutNull(field);
  return inner === field ? plainTypeText(field) : `${plainTypeText(inner)}, or null`;
}

function plainTypeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  switch (schema.type) {
    case 'integer':
      return `integer${rangeText(schema.minimum, schema.maximum, '')}`;
    case 'boolean':
      return 'boolean';
    case 'string':
      return stringText(schema);
    case 'array':
      return `list${rangeText(schema.minItems, schema.maxItems, ' items')}`;
    case 'object':
      return isMap(schema) ? 'object, names to text' : 'object';
    default:
      throw new Error(`a field of the type ${String(schema.type)} cannot be documented`);
  }
}

function stringText(schema: JsonSchema): string {
  switch (schema.format) {
    case 'uuid':
      return 'UUIDv7';
    case 'date-time':
      return 'time';
    case 'uri':
      return `URL${rangeText(schema.minLength, schema.maxLength, ' characters')}`;
    default:
      return schema.pattern === undefined
        ? `text${rangeText(schema.minLength, schema.maxLength, ' characters')}`
        : `text, \`${schema.pattern}\``;
  }
}

function rangeText(min: number | undefined, max: number | undefined, unit: string): string {
  const upper = max === undefined || max >= Number.MAX_SAFE_INTEGER ? undefined : max.toLocaleString('en');
  const isUnbounded = min === undefined || min <= Number.MIN_SAFE_INTEGER || (min === 0 && unit !== '');
  if (isUnbounded) return upper === undefined ? '' : `, at most ${upper}${unit}`;
  const lower = min.toLocaleString('en');
  return upper === undefined ? `, at least ${lower}${unit}` : `, ${lower} to ${upper}${unit}`;
}

function isMap(schema: JsonSchema): boolean {
  return (
    typeof schema.additionalProperties === 'object' && Object.keys(schema.additionalProperties).length > 0
  );
}

function withoutNull(field: JsonSchema): JsonSchema {
  const others = (field.anyOf ?? []).filter(
    (option) => typeof option !== 'boolean' && option.type !== 'null',
  );
  const [only] = others;
  return others.length === 1 && typeof only === 'object' ? only : field;
}

function itemsOf(schema: JsonSchema): JsonSchema {
  return typeof schema.items === 'object' && !Array.isArray(schema.items) ? schema.items : {};
}
