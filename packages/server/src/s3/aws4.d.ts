/** The slice of `aws4` that is used here; the package ships no types. */
declare module 'aws4' {
  export interface RequestToSign {
    readonly service: 's3';
    readonly region: string;
    readonly method: string;
    readonly host: string;
    /** Path and query, percent-encoded. `X-Amz-Date` and `X-Amz-Expires` in the query are used as given. */
    readonly path: string;
    /** All of them are signed. */
    readonly headers: Readonly<Record<string, string>>;
    /** The signature goes into the query; the payload stays unsigned. */
    readonly signQuery: true;
  }

  export interface AwsCredentials {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string | undefined;
  }

  const aws4: {
    /** Fills in `path`. */
    sign(request: RequestToSign, credentials: AwsCredentials): { readonly path: string };
  };
  export default aws4;
}
