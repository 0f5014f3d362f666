// Verifies midgate's assertion with the JDK alone. Needs Java 17 or newer.
//
//   var verifier = new Verify("https://app.example.ch", "https://erp.internal", null);
//   Map<String, Object> claims = verifier.verify(request.getHeader("X-Midgate-Jwt-Assertion"));

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.EdECPoint;
import java.security.spec.EdECPublicKeySpec;
import java.security.spec.NamedParameterSpec;
import java.security.spec.RSAPublicKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Verify {
    /** Seconds that two clocks may differ. */
    private static final long LEEWAY = 30;

    private final String issuer;
    private final String audience;
    private final URI keysUrl;
    private final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private Map<String, Map<String, Object>> keys = Map.of();

    /** keysUrl may name the gateway by an inner address; null: the issuer's own. */
    public Verify(String issuer, String audience, String keysUrl) {
        this.issuer = issuer;
        this.audience = audience;
        this.keysUrl = URI.create(keysUrl != null ? keysUrl : issuer + "/.well-known/midgate/jwks.json");
    }

    /** Gives the claims of a good assertion, or throws. */
    public Map<String, Object> verify(String token) throws GeneralSecurityException {
        String[] parts = token == null ? new String[0] : token.split("\\.", -1);
        if (parts.length != 3) throw new GeneralSecurityException("no assertion");
        try {
            Map<String, Object> head = object(decoded(parts[0]));
            if (!"midgate-assertion+jwt".equals(head.get("typ")) || head.containsKey("crit")) {
                throw new GeneralSecurityException("another kind of token");
            }
            Map<String, Object> jwk = key(String.valueOf(head.get("kid")));
            // The key says how it is verified, never the token.
            if (!jwk.get("alg").equals(head.get("alg"))) {
                throw new GeneralSecurityException("the key is for another algorithm");
            }
            Signature signature = Signature.getInstance(switch ((String) jwk.get("alg")) {
                case "ES256" -> "SHA256withECDSAinP1363Format";
                case "EdDSA" -> "Ed25519";
                case "RS256" -> "SHA256withRSA";
                default -> throw new GeneralSecurityException("algorithm not allowed");
            });
            signature.initVerify(publicKey(jwk));
            signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
            if (!signature.verify(decoded(parts[2]))) throw new GeneralSecurityException("bad signature");
            return checked(object(decoded(parts[1])));
        } catch (RuntimeException broken) {
            throw new GeneralSecurityException("no assertion", broken);
        }
    }

    private Map<String, Object> checked(Map<String, Object> claims) throws GeneralSecurityException {
        long now = Instant.now().getEpochSecond();
        if (!issuer.equals(claims.get("iss"))) throw new GeneralSecurityException("wrong issuer");
        if (!audience.equals(claims.get("aud"))) throw new GeneralSecurityException("wrong audience");
        if (!(claims.get("exp") instanceof Double exp && exp > now - LEEWAY)) throw new GeneralSecurityException("expired");
        if (!(claims.get("iat") instanceof Double iat && iat <= now + LEEWAY)) {
            throw new GeneralSecurityException("issued in the future");
        }
        return claims;
    }

    /** A key that is not known is looked for once more: the gateway may have a new one. */
    private synchronized Map<String, Object> key(String kid) throws GeneralSecurityException {
        if (!keys.containsKey(kid)) {
            Map<String, Map<String, Object>> fetched = new HashMap<>();
            try {
                var request = HttpRequest.newBuilder(keysUrl).timeout(Duration.ofSeconds(5)).build();
                var answer = client.send(request, BodyHandlers.ofByteArray());
                if (answer.statusCode() != 200) throw new GeneralSecurityException("no keys: " + answer.statusCode());
                for (Object key : (List<?>) object(answer.body()).get("keys")) {
                    @SuppressWarnings("unchecked")
                    Map<String, Object> jwk = (Map<String, Object>) key;
                    fetched.put((String) jwk.get("kid"), jwk);
                }
            } catch (IOException error) {
                throw new GeneralSecurityException("no keys", error);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
                throw new GeneralSecurityException("no keys", error);
            }
            keys = fetched;
        }
        Map<String, Object> jwk = keys.get(kid);
        if (jwk == null) throw new GeneralSecurityException("unknown key");
        return jwk;
    }

    private static PublicKey publicKey(Map<String, Object> jwk) throws GeneralSecurityException {
        switch (jwk.get("kty") + " " + jwk.get("crv")) {
            case "EC P-256":
                AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
                curve.init(new ECGenParameterSpec("secp256r1"));
                ECPoint point = new ECPoint(number(jwk, "x"), number(jwk, "y"));
                ECParameterSpec parameters = curve.getParameterSpec(ECParameterSpec.class);
                return KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(point, parameters));
            case "OKP Ed25519":
                // RFC 8032 §5.1.2: little-endian, the sign of x in the highest bit.
                byte[] bytes = decoded((String) jwk.get("x"));
                for (int i = 0, j = bytes.length - 1; i < j; i++, j--) {
                    byte swapped = bytes[i];
                    bytes[i] = bytes[j];
                    bytes[j] = swapped;
                }
                boolean isOdd = (bytes[0] & 0x80) != 0;
                bytes[0] &= 0x7f;
                EdECPoint edwards = new EdECPoint(isOdd, new BigInteger(1, bytes));
                return KeyFactory.getInstance("Ed25519")
                        .generatePublic(new EdECPublicKeySpec(NamedParameterSpec.ED25519, edwards));
            case "RSA null":
                return KeyFactory.getInstance("RSA").generatePublic(new RSAPublicKeySpec(number(jwk, "n"), number(jwk, "e")));
            default:
                throw new GeneralSecurityException("algorithm not allowed");
        }
    }

    private static BigInteger number(Map<String, Object> jwk, String name) {
        return new BigInteger(1, decoded((String) jwk.get(name)));
    }

    private static byte[] decoded(String part) {
        return Base64.getUrlDecoder().decode(part);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> object(byte[] json) {
        return (Map<String, Object>) new Json(new String(json, StandardCharsets.UTF_8)).whole();
    }

    /** Reads JSON, numbers as Double; use the library that your application has instead. */
    private static final class Json {
        private final String text;
        private int at;

        Json(String text) {
            this.text = text;
        }

        Object whole() {
            Object value = value(0);
            if (next() != 0) throw new IllegalArgumentException("JSON");
            return value;
        }

        private char next() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
            return at < text.length() ? text.charAt(at) : 0;
        }

        private boolean takes(char wanted) {
            boolean found = next() == wanted;
            if (found) at++;
            return found;
        }

        private void expect(char wanted) {
            if (!takes(wanted)) throw new IllegalArgumentException("JSON");
        }

        private Object value(int depth) {
            if (depth > 20) throw new IllegalArgumentException("JSON");
            switch (next()) {
                case '{' -> {
                    Map<String, Object> map = new LinkedHashMap<>();
                    expect('{');
                    while (!takes('}')) {
                        if (!map.isEmpty()) expect(',');
                        String name = string();
                        expect(':');
                        // A name that comes twice could be read in two ways.
                        if (map.containsKey(name)) throw new IllegalArgumentException("JSON");
                        map.put(name, value(depth + 1));
                    }
                    return map;
                }
                case '[' -> {
                    List<Object> list = new ArrayList<>();
                    expect('[');
                    while (!takes(']')) {
                        if (!list.isEmpty()) expect(',');
                        list.add(value(depth + 1));
                    }
                    return list;
                }
                case '"' -> {
                    return string();
                }
                default -> {
                    int from = at;
                    while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) at++;
                    String word = text.substring(from, at);
                    return switch (word) {
                        case "true" -> true;
                        case "false" -> false;
                        case "null" -> null;
                        default -> Double.valueOf(word);
                    };
                }
            }
        }

        private String string() {
            expect('"');
            StringBuilder read = new StringBuilder();
            for (char c = text.charAt(at++); c != '"'; c = text.charAt(at++)) {
                if (c != '\\') {
                    read.append(c);
                    continue;
                }
                char escaped = text.charAt(at++);
                if (escaped == 'u') {
                    read.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    at += 4;
                } else {
                    int known = "\"\\/bfnrt".indexOf(escaped);
                    read.append("\"\\/\b\f\n\r\t".charAt(known));
                }
            }
            return read.toString();
        }
    }

    /** By hand: java Verify.java ISSUER AUDIENCE [KEYS_URL], assertions on standard input, one a line. */
    public static void main(String[] given) throws IOException {
        Verify verifier = new Verify(given[0], given[1], given.length > 2 ? given[2] : null);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                System.out.println("verified: " + verifier.verify(line.strip()).get("sub"));
            } catch (GeneralSecurityException refused) {
                System.out.println("refused: " + refused.getMessage());
            }
        }
    }
}
