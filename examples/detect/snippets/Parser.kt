package org.example.parser

import kotlin.math.abs

data class Token(val kind: Kind, val text: String)

enum class Kind { NUMBER, WORD, SYMBOL }

class Lexer(private val source: String) {
    private var position = 0

    fun tokens(): List<Token> = buildList {
        while (position < source.length) {
            val c = source[position]
            when {
                c.isWhitespace() -> position++
                c.isDigit() -> add(Token(Kind.NUMBER, take { it.isDigit() }))
                c.isLetter() -> add(Token(Kind.WORD, take { it.isLetter() }))
                else -> add(Token(Kind.SYMBOL, source[position++].toString()))
            }
        }
    }

    private inline fun take(accept: (Char) -> Boolean): String {
        val start = position
        while (position < source.length && accept(source[position])) position++
        return source.substring(start, position)
    }
}

fun main() {
    Lexer("a1 + 22").tokens().forEach { println("${it.kind}: ${it.text}") }
    println(abs(-3))
}
