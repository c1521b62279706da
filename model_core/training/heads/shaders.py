"""The two programs of the renderer, in GLSL: one for everything that is seen, one for depth alone."""

from __future__ import annotations

VERTEX = """
#version 330
uniform mat4 projection;
uniform float behind;                    // cm that it is drawn farther away than it is
in vec3 position; in vec3 normal; in vec3 rest; in vec4 albedo; in vec4 light; in vec3 along;
out vec3 at; out vec3 facing; out vec3 home; out vec4 paint; out vec4 seen; out vec3 strand;
void main() {
    at = position; facing = normal; home = rest; paint = albedo; seen = light; strand = along;
    gl_Position = projection * vec4(position, 1.0);
    vec4 farther = projection * vec4(position - vec3(0.0, 0.0, behind), 1.0);
    gl_Position.z = farther.z / farther.w * gl_Position.w;
}
"""

FRAGMENT = """
#version 330
const int SKIN = 0, EYE = 1, STRANDS = 2, WET = 3, CLOTH = 4, LASHES = 5, PHOTO = 6, CARD = 7;
uniform int kind;
uniform vec3 eye;                        // the camera's place
uniform vec3 lamps[3]; uniform vec3 colours[3];
uniform vec3 sky; uniform vec3 ground;   // light from above and from below
uniform vec3 iris; uniform vec2 iris_size;
uniform float shine; uniform float grain;
uniform sampler2D skin; uniform vec4 skin_frame;   // x, y of its corner, 1 / width, 1 / height
in vec3 at; in vec3 facing; in vec3 home; in vec4 paint; in vec4 seen; in vec3 strand;
out vec4 result;

float hash(vec3 p) { p = fract(p * 0.3183099 + 0.1); p *= 17.0; return fract(p.x * p.y * p.z * (p.x + p.y + p.z)); }
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                   mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                   mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
vec3 bumped(vec3 n, vec3 p, float frequency, float depth) {
    vec2 e = vec2(0.35 / frequency, 0.0);
    float here = noise(p * frequency);
    vec3 slope = vec3(noise((p + e.xyy) * frequency), noise((p + e.yxy) * frequency), noise((p + e.yyx) * frequency));
    return normalize(n - depth * (slope - here));
}
vec3 ambient(vec3 n) { return mix(ground, sky, 0.5 + 0.5 * n.y) * seen.w; }
vec3 diffuse(vec3 n, vec3 wrap) {
    vec3 sum = vec3(0.0);
    for (int i = 0; i < 3; i++) {
        vec3 lit = clamp((dot(n, lamps[i]) + wrap) / ((1.0 + wrap) * (1.0 + wrap)), 0.0, 1.0);
        vec3 shadow = pow(vec3(clamp(seen[i], 0.0, 1.0)), vec3(1.0) - wrap);   // red light wanders into shadows
        sum += colours[i] * lit * shadow;
    }
    return sum;
}
vec3 glossy(vec3 n, vec3 v, float power) {
    vec3 sum = vec3(0.0);
    float rim = 0.04 + 0.96 * pow(1.0 - max(dot(n, v), 0.0), 5.0);
    for (int i = 0; i < 3; i++) {
        float half_way = max(dot(n, normalize(lamps[i] + v)), 0.0);
        sum += colours[i] * seen[i] * pow(half_way, power) * (power + 8.0) / 25.0 * rim * step(0.0, dot(n, lamps[i]));
    }
    return sum;
}
vec3 eyeball(vec3 n, vec3 v) {
    float r = length(home.xy), out_of = r / iris_size.x;
    float angle = atan(home.y, home.x);
    float fibres = noise(vec3(cos(angle) * 9.0, sin(angle) * 9.0, out_of * 1.3)) * 0.6
                 + noise(vec3(cos(angle) * 26.0, sin(angle) * 26.0, out_of * 2.5)) * 0.4;
    vec3 stroma = iris * (0.5 + 1.0 * fibres) * (0.8 + 0.5 * smoothstep(0.75, 0.3, out_of));
    stroma *= 1.0 + 0.7 * max(0.0, -dot(normalize(home.xy + 1e-5), normalize(lamps[0].xy)));   // light gathers opposite
    stroma *= 1.0 - 0.75 * smoothstep(0.78, 1.0, out_of);
    stroma *= smoothstep(iris_size.y - 0.05, iris_size.y + 0.05, out_of);
    vec3 white = paint.rgb * (1.0 - vec3(0.06, 0.18, 0.2) * smoothstep(0.8, 1.4, r) * (0.6 + 0.8 * noise(home * 5.0)));
    vec3 base = home.z > 0.0 ? mix(stroma, white, smoothstep(0.93, 1.06, out_of)) : white;
    vec3 light = diffuse(n, vec3(0.3, 0.25, 0.25)) + ambient(n);
    vec3 glints = vec3(0.0);
    vec3 bounce = reflect(-v, normalize(n));
    for (int i = 0; i < 2; i++) {
        float near = dot(bounce, normalize(lamps[i] + vec3(0.0, 0.1, 0.6)));
        glints += colours[i] * smoothstep(0.965, 0.975, near) * 0.55 * (0.3 + 0.7 * seen[i]);
    }
    return base * light + glints + 0.02 * sky;
}
bool between_lashes(vec3 place) {        // along the lid, from root to tip, and the row's number
    float count = place.z < 3.0 ? 34.0 : 26.0, length = place.z < 3.0 ? 0.95 : 0.42;
    float cell = place.x * count + 0.8 * (place.x - 0.5) * place.y * 3.0 + place.z * 0.37;
    float own = hash(vec3(floor(cell), place.z, 1.0));
    float off = abs(fract(cell) - 0.5 - 0.3 * (own - 0.5));
    float reach = place.y / (length * (0.65 + 0.35 * own));
    bool line = place.z < 3.0 && place.y < 0.05;
    return !line && (reach > 1.0 || off > (place.z < 3.0 ? 0.17 : 0.09) * (1.0 - reach) + 0.015);
}
vec3 strands(vec3 v) {
    vec3 t = normalize(strand), sum = ambient(normalize(facing));
    float fray = 0.75 + 0.5 * hash(floor(home * 40.0));
    vec3 base = paint.rgb * fray * sum * 1.1;
    for (int i = 0; i < 3; i++) {
        float across = sqrt(max(0.0, 1.0 - pow(dot(t, lamps[i]), 2.0)));
        float half_way = dot(t, normalize(lamps[i] + v));
        float front = smoothstep(-0.4, 0.6, dot(normalize(facing), lamps[i])) * seen[i];
        base += colours[i] * front * paint.rgb * across * 0.55 * fray;
        float first = pow(max(0.0, 1.0 - half_way * half_way), 40.0);
        base += colours[i] * front * first * (0.04 + 0.9 * paint.rgb) * shine;
    }
    return base;
}
void main() {
    vec3 n = normalize(facing), v = normalize(eye - at);
    if (dot(n, v) < 0.0 && kind != STRANDS) n = -n;
    vec3 colour;
    if (kind == LASHES && between_lashes(home)) discard;
    if (kind == EYE) colour = eyeball(n, v);
    else if (kind == STRANDS) colour = strands(v);
    else if (kind == WET) colour = paint.rgb * (diffuse(n, vec3(0.2, 0.12, 0.1)) + ambient(n))
                                  + glossy(n, v, 60.0) * 1.6 * seen.w;
    else if (kind == LASHES) colour = paint.rgb * (ambient(n) + 0.5);
    else if (kind == PHOTO || kind == CARD) {          // its light is in the photograph already
        vec4 map = texture(skin, (home.xy - skin_frame.xy) * skin_frame.zw);
        if (map.a < 0.5) discard;
        float light = dot(diffuse(n, vec3(0.3)) + ambient(n), vec3(1.0 / 3.0));
        colour = map.rgb * paint.rgb * mix(1.0, clamp(light, 0.2, 1.6), paint.a);
    }
    else if (kind == CLOTH) {
        n = bumped(n, home, 6.0, 0.5);
        float fuzz = pow(1.0 - max(dot(n, v), 0.0), 3.0);
        colour = paint.rgb * (0.85 + 0.3 * noise(home * 7.0)) * (diffuse(n, vec3(0.15)) + ambient(n)) * (1.0 + fuzz);
    } else {
        vec4 map = texture(skin, (home.xy - skin_frame.xy) * skin_frame.zw);
        float front = paint.a;
        vec3 base = mix(paint.rgb * (0.94 + 0.12 * noise(home * 2.0)), map.rgb, front);
        float lips = map.a * front;
        n = bumped(n, home, 14.0, grain * (1.0 - lips));
        n = bumped(n, home, 5.0, 0.35 * grain);
        if (lips > 0.0) n = bumped(n, home * vec3(4.0, 0.4, 1.0), 5.0, 0.12 * lips);
        vec3 lit = diffuse(n, vec3(0.42, 0.2, 0.13)) + ambient(n);
        lit += vec3(0.09, 0.03, 0.02) * (1.0 - seen.w);         // light that flesh lets through into hollows
        colour = base * lit;
        float oily = mix(0.7, 1.6, lips) * shine;
        colour += (glossy(n, v, mix(14.0, 45.0, lips)) * 0.8 + glossy(n, v, 40.0) * 0.35) * oily * (0.4 + 0.6 * seen.w);
    }
    result = vec4(colour, 1.0);
}
"""

DEPTH_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
void main() { gl_Position = projection * vec4(position, 1.0); }
"""

DEPTH_FRAGMENT = """
#version 330
void main() {}
"""
