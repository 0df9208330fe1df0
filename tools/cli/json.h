#pragma once
// Writes JSON, enough for the command line's --json.

#include <cstdint>
#include <string>
#include <string_view>

namespace torii::cli {

// Calls nest as the document does; commas are put where they belong. Text that is not UTF-8 is replaced byte
// by byte.
class JsonWriter {
public:
    void begin_object() { open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void end_array() { close(']'); }
    void key(std::string_view name);
    void value(std::string_view text);
    void value(const char* text) { value(std::string_view(text)); }
    void value(uint64_t number);
    void value(int64_t number);
    void value(uint32_t number) { value(uint64_t{number}); }
    void value(int number) { value(int64_t{number}); }
    void value(bool truth);
    void null();
    // A number that is not whole, as it is to be written.
    void number(std::string_view digits);

    template <typename Value>
    void field(std::string_view name, const Value& content) {
        key(name);
        value(content);
    }

    // The document, with a newline at its end.
    std::string take();

private:
    void open(char bracket);
    void close(char bracket);
    void separate();

    std::string text_;
    bool first_ = true;
    bool after_key_ = false;
};

}  // namespace torii::cli
