import { z } from 'zod';

/**
 * A response as its reader must expect it: the server may be of a later version, so every field with a list of values
 * (a status, an error code) may have another value, which is text.
 */
export type Opened<T> = T extends string
  ? string extends T
    ? T
    : T | OtherText
  : T extends readonly (infer Item)[]
    ? Opened<Item>[]
    : T extends object
      ? { [Key in keyof T]: Opened<T[Key]> }
      : T;

/** Any text, without hiding the listed values from editors, as `string` would. */
type OtherText = string & Record<never, never>;

/** A schema of a response that a server of this version sends. */
export type ResponseSchema<T> = z.ZodType<T>;

/** Schemas by the schema that they were made from. */
const opened = new WeakMap<z.ZodType, z.ZodType>();

/** Parses a response of a server that may be of a later version. Fields that the schema does not know are dropped. */
export function parseResponse<T>(schema: ResponseSchema<T>, value: unknown): z.ZodSafeParseResult<Opened<T>> {
  // TypeScript cannot follow the types through `open`.
  return open(schema).safeParse(value) as z.ZodSafeParseResult<Opened<T>>;
}

/** Returns the same schema, except that text takes the place of each list of values. */
function open(schema: z.ZodType): z.ZodType {
  let made = opened.get(schema);
  if (made === undefined) {
    made = openOnce(schema);
    opened.set(schema, made);
  }
  return made;
}

function openOnce(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodEnum) return z.string();
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries<z.ZodType>(schema.shape).map(([name, field]) => [name, open(field)]);
    return schema.clone({ ...schema.def, shape: Object.fromEntries(fields) });
  }
  if (schema instanceof z.ZodArray) {
    return schema.clone({ ...schema.def, element: open(schema.element as z.ZodType) });
  }
  if (schema instanceof z.ZodNullable || schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return schema.clone({ ...schema.def, innerType: open(schema.unwrap() as z.ZodType) } as never);
  }
  return schema;
}
