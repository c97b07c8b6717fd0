import type { NextConfig } from "next";

/**
 * The page talks to its own origin and to nobody else: Supabase and the forecast service are asked by the server.
 * Next.js puts scripts into its pages, and React styles into elements, hence 'unsafe-inline'.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  `script-src 'self' 'unsafe-inline'${process.env.NODE_ENV === "development" ? " 'unsafe-eval'" : ""}`,
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

const config: NextConfig = {
  output: "standalone",
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  poweredByHeader: false,
  async headers() {
    const headers = [
      { key: "Content-Security-Policy", value: CONTENT_SECURITY_POLICY },
      { key: "Referrer-Policy", value: "same-origin" },
      { key: "X-Content-Type-Options", value: "nosniff" },
    ];
    return [{ source: "/:path*", headers }];
  },
};

export default config;
