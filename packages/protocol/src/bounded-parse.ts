import { z } from 'zod';

/** Lists up to this length are validated by zod as a whole. */
const UNCHECKED_ELEMENTS = 64;

/**
 * Like `schema.safeParse`, but stops at the first invalid element of a long list: zod itself would collect an issue for
 * each of ten thousand elements. A list that is too long is refused without validating its elements.
 */
export function boundedParse<Output>(
  schema: z.ZodType<Output>,
  value: unknown,
): { success: true; data: Output } | { success: false; error: z.ZodError } {
  const issue = firstIssueOfLists(withoutWrappers(schema), value, []);
  return issue === null ? schema.safeParse(value) : { success: false, error: new z.ZodError([issue]) };
}

type Issue = z.core.$ZodIssue;

function firstIssueOfLists(
  schema: z.core.$ZodType,
  value: unknown,
  path: readonly PropertyKey[],
): Issue | null {
  if (typeof value !== 'object' || value === null) return null;
  if (schema instanceof z.ZodArray)
    return Array.isArray(value) ? firstIssueOfList(schema, value, path) : null;
  if (!(schema instanceof z.ZodObject)) return null;
  for (const [name, field] of listFieldsOf(schema)) {
    const issue = firstIssueOfLists(field, (value as Record<string, unknown>)[name], [...path, name]);
    if (issue !== null) return issue;
  }
  return null;
}

type Field = readonly [name: string, schema: z.core.$ZodType];

const listFields = new WeakMap<z.ZodObject, readonly Field[]>();

/** Returns the fields that are lists or contain lists. Cached per schema, because few schemas have any. */
function listFieldsOf(schema: z.ZodObject): readonly Field[] {
  const known = listFields.get(schema);
  if (known !== undefined) return known;
  const found = Object.entries(schema.shape)
    .map(([name, field]): Field => [name, withoutWrappers(field)])
    .filter(
      ([, field]) =>
        field instanceof z.ZodArray || (field instanceof z.ZodObject && listFieldsOf(field).length > 0),
    );
  listFields.set(schema, found);
  return found;
}

function withoutWrappers(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault
    ? withoutWrappers(schema.def.innerType)
    : schema;
}

function firstIssueOfList(
  schema: z.ZodArray,
  list: readonly unknown[],
  path: readonly PropertyKey[],
): Issue | null {
  if (list.length <= UNCHECKED_ELEMENTS) return null;
  const maximum = maxLengthOf(schema);
  if (list.length > maximum) {
    return {
      code: 'too_big',
      origin: 'array',
      maximum,
      inclusive: true,
      input: list,
      path: [...path],
      message: `Too big: expected array to have <=${maximum} items`,
    };
  }
  for (const [index, element] of list.entries()) {
    // zod's own loop calls this for each element; `safeParse` for each would cost twice as much.
    const outcome = schema.element._zod.run({ value: element, issues: [] }, { async: false });
    if (!(outcome instanceof Promise) && outcome.issues.length === 0) continue;
    const [issue] = z.core.safeParse(schema.element, element).error?.issues ?? [];
    if (issue !== undefined) return { ...issue, path: [...path, index, ...issue.path] };
  }
  return null;
}

function maxLengthOf({ def }: z.ZodArray): number {
  const limits = (def.checks ?? []).map(({ _zod: { def: check } }) =>
    check.check === 'max_length' && 'maximum' in check ? Number(check.maximum) : Infinity,
  );
  return Math.min(Infinity, ...limits);
}
