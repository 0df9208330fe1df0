#include "json.h"

#include <cstdio>
#include <utility>

namespace torii::cli {
namespace {

// The length of the UTF-8 sequence at the start of `text`, or 0 if there is none.
size_t utf8_length(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || length > text.size()) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return length;
}

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            break;
    }
    char code[8];
    std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += code;
}

}  // namespace

void JsonWriter::separate() {
    if (!first_ && !after_key_) text_.push_back(',');
    first_ = false;
    after_key_ = false;
}

void JsonWriter::open(char bracket) {
    separate();
    text_.push_back(bracket);
    first_ = true;
}

void JsonWriter::close(char bracket) {
    text_.push_back(bracket);
    first_ = false;
}

void JsonWriter::key(std::string_view name) {
    value(name);
    text_.push_back(':');
    after_key_ = true;
}

void JsonWriter::value(std::string_view text) {
    separate();
    text_.push_back('"');
    while (!text.empty()) {
        const auto c = static_cast<unsigned char>(text.front());
        const size_t length = utf8_length(text);
        if (length == 0) {
            text_ += "\\ufffd";
            text.remove_prefix(1);
        } else if (length == 1 && (c < 0x20 || c == '"' || c == '\\' || c == 0x7F)) {
            append_escaped(text_, text.front());
            text.remove_prefix(1);
        } else {
            text_.append(text.substr(0, length));
            text.remove_prefix(length);
        }
    }
    text_.push_back('"');
}

void JsonWriter::value(uint64_t number) {
    separate();
    text_ += std::to_string(number);
}

void JsonWriter::value(int64_t number) {
    separate();
    text_ += std::to_string(number);
}

void JsonWriter::value(bool truth) {
    separate();
    text_ += truth ? "true" : "false";
}

void JsonWriter::number(std::string_view digits) {
    separate();
    text_ += digits;
}

void JsonWriter::null() {
    separate();
    text_ += "null";
}

std::string JsonWriter::take() {
    text_.push_back('\n');
    first_ = true;
    return std::exchange(text_, {});
}

}  // namespace torii::cli
